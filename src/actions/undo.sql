-- name: lockAction
SELECT id, invocation_id, agent_id, event_id, trace_id, chapter, priority, type, connector, target_system, target, args, integrity,
  confidentiality, codex_commit, awaited, undo_of, state, remote_id, remote_url, remote, before, rendered
FROM guild_core.actions WHERE id = $1 FOR UPDATE;

-- name: undosOf
SELECT id, state FROM guild_core.actions WHERE undo_of = $1 ORDER BY lane;

-- name: cancel
UPDATE guild_core.actions SET state = 'DENIED', reason = $2, finished_at = $3, updated_at = $3
WHERE id = $1 AND state IN ('READY', 'RETRY');

-- name: freeMeaning
DELETE FROM guild_core.action_meanings WHERE action_id = $1;

-- name: insertUndo
-- In the lane, the run and the story of what it takes back.
INSERT INTO guild_core.actions (id, action_key, invocation_id, agent_id, event_id, trace_id, causal_root, causal_depth, chapter, priority,
  type, connector, target_system, target, args, args_hash, autonomy, rule, integrity, confidentiality, receipt, state, reason, marker,
  next_at, expires_at, codex_commit, created_at, updated_at, undo_of, requested_by, expected)
SELECT u.id, u.action_key, o.invocation_id, o.agent_id, o.event_id, o.trace_id, o.causal_root, o.causal_depth, o.chapter, o.priority,
  u.type, o.connector, o.target_system, o.target, u.args, u.args_hash, 2, u.rule, 'verified', o.confidentiality, u.receipt, 'READY', u.reason, u.marker,
  u.at, u.expires_at, u.codex_commit, u.at, u.at, o.id, u.requested_by, u.expected
FROM guild_core.actions o, jsonb_to_record($2::jsonb) AS u (id text, action_key text, type text, args jsonb, args_hash text, rule text,
  receipt jsonb, reason text, marker text, at timestamptz, expires_at timestamptz, codex_commit text, requested_by text, expected jsonb)
WHERE o.id = $1;

-- name: undoable
-- Newest first: what was done last is taken back first. $1 run or null · $2 agent or null · $3 since or null · $4 rows at most
SELECT id FROM guild_core.actions
WHERE undo_of IS NULL AND state IN ('SUCCEEDED', 'PROPOSED', 'HELD', 'READY', 'RETRY')
  AND ($1::text IS NULL OR invocation_id = $1) AND ($2::text IS NULL OR agent_id = $2) AND ($3::timestamptz IS NULL OR created_at >= $3)
ORDER BY lane DESC LIMIT $4;
