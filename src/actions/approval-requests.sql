-- name: insertApproval
-- The owner of the agent is asked, as the serving Codex names them.
INSERT INTO guild_core.approvals (id, action_id, invocation_id, kind, state, args_hash, target, codex_commit, asked, requested_at,
  expires_at, before, after, decided_by, decided_at, channel, note)
SELECT id, action_id, invocation_id, kind, state, args_hash, target, codex_commit,
  coalesce((SELECT owner FROM guild_core.agents g WHERE g.id = a.agent_id), 'operators'), requested_at,
  expires_at, before, after, decided_by, decided_at, channel, note
FROM jsonb_to_record($1::jsonb) AS a (id text, action_id text, invocation_id text, kind text, state text, args_hash text, target text,
  codex_commit text, agent_id text, requested_at timestamptz, expires_at timestamptz, before jsonb, after jsonb, decided_by text,
  decided_at timestamptz, channel text, note text);
