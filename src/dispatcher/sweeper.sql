-- name: republish
-- Runs whose message may be lost: due for 15 s and owned by nobody, or 2 s after the lease of a dead worker. Not more often than every 30 s; for those that only stand in a long
-- queue the pause doubles up to 16 min, so that a backlog is not made longer by its own reminders. And runs that were held back (their
-- message is done with), as soon as what they waited for is over: as many of a key as have room, first in line first.
-- A queued run whose message cannot be older than the oldest that waits on the bus ($3, null: none waits) most likely has its own there: a
-- long queue is not doubled.
-- $1 now · $2 rows at most · $3 when the oldest waiting message was published
WITH held AS (
  SELECT i.id, i.slots_max - busy.runs AS room,
    -- Of an agent that may show whether it is well again one run is woken, not all that wait for it.
    CASE WHEN b.agent_id IS NOT NULL
      THEN row_number() OVER (PARTITION BY i.agent_id ORDER BY guild_core.place_in_line(i.priority, i.queued_at), i.id) ELSE 1 END AS probing,
    row_number() OVER (PARTITION BY i.agent_id, i.slot_key ORDER BY guild_core.place_in_line(i.priority, i.queued_at), i.id) AS place
  FROM guild_core.invocations i
  LEFT JOIN guild_core.agent_breakers b ON b.agent_id = i.agent_id AND b.until > $1::timestamptz AND i.attempts = 0
  LEFT JOIN guild_core.invocations probe ON probe.id = b.probe AND probe.state = 'RUNNING' AND probe.lease_until > $1::timestamptz
  LEFT JOIN LATERAL (
    SELECT count(*) AS runs FROM guild_core.invocations r
    WHERE r.agent_id = i.agent_id AND r.slot_key = i.slot_key AND r.finished_at IS NULL AND r.state = 'RUNNING'
      AND r.lease_until > $1::timestamptz
  ) busy ON i.slot_key IS NOT NULL
  WHERE i.held_at IS NOT NULL AND i.finished_at IS NULL AND (i.not_before IS NULL OR i.not_before <= $1::timestamptz)
    AND (i.cancel IS NOT NULL OR b.agent_id IS NULL OR (b.retry_at <= $1::timestamptz AND probe.id IS NULL))
)
UPDATE guild_core.invocations i
SET republished_at = $1, republished = i.republished + 1,
    state = CASE WHEN i.held_at IS NOT NULL AND i.state IN ('QUEUED', 'WAITING_ACTION', 'WAITING_APPROVAL') THEN 'ADMITTED' ELSE i.state END,
    held_at = NULL, held_by = NULL, held_reason = NULL, predicted_start = NULL
FROM (
  SELECT id FROM guild_core.invocations
  -- Suspended runs are due when they may wait no longer.
  WHERE (state IN ('QUEUED', 'ADMITTED', 'RUNNING', 'WAITING_RATE')
      OR (state IN ('WAITING_ACTION', 'WAITING_APPROVAL') AND (not_before IS NOT NULL OR held_at IS NOT NULL)))
    AND CASE WHEN held_at IS NULL THEN
      greatest(queued_at, not_before) < $1::timestamptz - interval '15 seconds'
      -- A lease that lapsed says that its worker died: its message may be lost as well, and the run has waited long enough.
      AND (lease_until IS NULL OR lease_until < $1::timestamptz - interval '2 seconds')
      AND (state <> 'QUEUED' OR $3::timestamptz IS NULL OR greatest(queued_at, republished_at) < $3::timestamptz - interval '1 second'
        OR greatest(queued_at, republished_at) < $1::timestamptz - interval '16 minutes')
      AND (republished_at IS NULL
        -- By a sweeper whose clock was ahead.
        OR republished_at > $1::timestamptz
        -- That message arrived: a worker took the run since, and died.
        OR republished_at < lease_until
        OR republished_at <= $1::timestamptz
          - interval '30 seconds' * CASE WHEN state = 'QUEUED' THEN power(2, least(republished - 1, 5)) ELSE 1 END)
    ELSE cancel IS NOT NULL OR id IN (SELECT held.id FROM held WHERE held.probing = 1 AND (held.room IS NULL OR held.place <= held.room))
    END
  ORDER BY queued_at, id
  LIMIT $2
  FOR UPDATE SKIP LOCKED
) due
WHERE i.id = due.id
-- What has begun, or has stood in line already, keeps its place on the bus.
RETURNING i.id, i.agent_id, i.priority, CASE WHEN i.state <> 'QUEUED' THEN i.queued_at END AS since;
