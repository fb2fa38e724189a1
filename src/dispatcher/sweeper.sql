-- name: republish
-- Runs whose message may be lost: due for 15 s and owned by nobody. Not more often than every 30 s; for those that only stand in a long
-- queue the pause doubles up to 16 min, so that a backlog is not made longer by its own reminders.
-- $1 now · $2 rows at most
UPDATE guild_core.invocations i
SET republished_at = $1, republished = i.republished + 1
FROM (
  SELECT id FROM guild_core.invocations
  -- Suspended runs are due when they may wait no longer.
  WHERE (state IN ('QUEUED', 'ADMITTED', 'RUNNING', 'WAITING_RATE')
      OR (state IN ('WAITING_ACTION', 'WAITING_APPROVAL') AND not_before IS NOT NULL))
    AND greatest(queued_at, not_before, lease_until) < $1::timestamptz - interval '15 seconds'
    AND (republished_at IS NULL
      OR republished_at <= $1::timestamptz
        - interval '30 seconds' * CASE WHEN state = 'QUEUED' THEN power(2, least(republished - 1, 5)) ELSE 1 END)
  ORDER BY queued_at, id
  LIMIT $2
  FOR UPDATE SKIP LOCKED
) due
WHERE i.id = due.id
RETURNING i.id, i.agent_id, i.priority;
