-- name: wakeRun
-- The waiting is counted when the run is claimed again.
UPDATE guild_core.invocations SET state = 'ADMITTED', not_before = NULL
WHERE id = $1 AND state IN ('WAITING_ACTION', 'WAITING_APPROVAL')
RETURNING agent_id, priority;

-- name: retitleWait
UPDATE guild_core.invocations SET state = $2 WHERE id = $1 AND state IN ('WAITING_ACTION', 'WAITING_APPROVAL') AND state <> $2;

-- name: markUndone
UPDATE guild_core.actions SET state = 'UNDONE', reason = 'taken back', updated_at = $2
WHERE id = $1 AND state = 'SUCCEEDED'
RETURNING id, agent_id, event_id, trace_id, invocation_id, type, target_system, target, codex_commit, awaited, undo_of;

-- name: freeMeaning
DELETE FROM guild_core.action_meanings WHERE action_id = $1;
