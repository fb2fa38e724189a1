-- name: cancel
-- What waits, for whatever, is due at once: the next worker ends it. What runs is told with its next write. The first to say it holds.
-- $1 invocation · $2 why
WITH found AS (
  SELECT id, state, cancel FROM guild_core.invocations WHERE id = $1 FOR UPDATE
)
UPDATE guild_core.invocations i
SET cancel = $2, not_before = NULL, state = CASE WHEN i.state LIKE 'WAITING%' THEN 'ADMITTED' ELSE i.state END
FROM found
WHERE i.id = found.id AND found.cancel IS NULL AND found.state NOT IN ('COMPLETED', 'STOPPED', 'FAILED', 'DEAD')
RETURNING i.agent_id, i.event_id, i.trace_id, i.priority, i.codex_commit, found.state AS was;

-- name: look
SELECT state, cancel FROM guild_core.invocations WHERE id = $1;
