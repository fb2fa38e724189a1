-- name: decideApproval
UPDATE guild_core.approvals SET state = $2, decided_by = $3, decided_at = $4, channel = $5, note = $6
WHERE id = $1 AND state = 'PENDING';

-- name: release
UPDATE guild_core.actions SET state = 'READY', reason = $2, args = $3::jsonb, args_hash = $4, target = $5, dedupe_key = $6,
  next_at = $7, updated_at = $7, expected = $8::jsonb
WHERE id = $1 AND state IN ('PROPOSED', 'HELD');

-- name: close
UPDATE guild_core.actions SET state = $2, reason = $3, finished_at = $4, updated_at = $4
WHERE id = $1 AND state IN ('PROPOSED', 'HELD');

-- name: freeMeaning
DELETE FROM guild_core.action_meanings WHERE action_id = $1;

-- name: holdMeaning
INSERT INTO guild_core.action_meanings (dedupe_key, action_id, until) VALUES ($1, $2, $3) ON CONFLICT (dedupe_key) DO NOTHING;

-- name: settle
UPDATE guild_core.actions SET state = $2::text, reason = $3, confirmed_by = $4, next_at = $5, probes = 0, updated_at = $5,
  finished_at = CASE WHEN $2::text = 'READY' THEN NULL ELSE $5::timestamptz END
WHERE id = $1 AND state = 'PARKED'
RETURNING id, agent_id, event_id, trace_id, invocation_id, type, target_system, target, codex_commit, awaited, undo_of, connector, priority;
