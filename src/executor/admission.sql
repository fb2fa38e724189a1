-- name: blockers
-- Why a run that is due and owned by nobody could not be claimed. Asked only after a claim was refused.
SELECT i.state, i.agent_id, i.event_id, i.codex_commit, i.rule, i.slot_key, i.slots_max, i.held_at IS NOT NULL AS held,
  b.failures, b.retry_at, b.probe, b.retry_at > now() AS resting, busy.runs AS busy, busy.holder, ahead.runs AS ahead, ahead.first AS next,
  greatest(now(), busy.since + typical.ms * interval '1 ms') + floor(ahead.runs / coalesce(i.slots_max, 1)) * typical.ms * interval '1 ms'
    AS slot_at
FROM guild_core.invocations i
LEFT JOIN guild_core.agent_breakers b ON b.agent_id = i.agent_id AND b.until > now() AND i.attempts = 0
CROSS JOIN LATERAL (
  SELECT count(*)::integer AS runs, (array_agg(r.id ORDER BY r.running_since, r.id))[1] AS holder, min(r.running_since) AS since
  FROM guild_core.invocations r
  WHERE r.agent_id = i.agent_id AND r.slot_key = i.slot_key AND r.finished_at IS NULL AND r.id <> i.id AND r.state = 'RUNNING'
    AND r.lease_until > now()
) busy
CROSS JOIN LATERAL (
  SELECT count(*)::integer AS runs, (array_agg(r.id ORDER BY guild_core.place_in_line(r.priority, r.queued_at), r.id))[1] AS first
  FROM guild_core.invocations r
  WHERE r.agent_id = i.agent_id AND r.slot_key = i.slot_key AND r.finished_at IS NULL AND r.state IN ('QUEUED', 'ADMITTED')
    AND r.cancel IS NULL AND (r.not_before IS NULL OR r.not_before <= now())
    AND (guild_core.place_in_line(r.priority, r.queued_at), r.id) < (guild_core.place_in_line(i.priority, i.queued_at), i.id)
) ahead
CROSS JOIN LATERAL (
  SELECT coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY r.active_ms), 0) AS ms
  FROM (
    SELECT f.active_ms FROM guild_core.invocations f WHERE f.agent_id = i.agent_id AND f.finished_at IS NOT NULL
    ORDER BY f.queued_at DESC LIMIT 20
  ) r
) typical
WHERE i.id = $1 AND i.finished_at IS NULL AND (i.lease_until IS NULL OR i.lease_until <= now())
  AND (i.not_before IS NULL OR i.not_before <= now());

-- name: hold
-- Whatever it was before (a wait that is over, a worker that died), now it stands in line like the others, and is woken like them.
-- $1 run · $2 behind whom · $3 why · $4 likely start, or null · $5 not before, or null
UPDATE guild_core.invocations i
SET state = CASE i.state WHEN 'QUEUED' THEN 'QUEUED' ELSE 'ADMITTED' END, held_at = coalesce(i.held_at, now()), held_by = $2, held_reason = $3, predicted_start = $4, not_before = $5
WHERE i.id = $1 AND i.finished_at IS NULL AND (i.lease_until IS NULL OR i.lease_until <= now())
RETURNING i.id;

-- name: wakeNext
-- A slot becomes free: the first in line gets it. Whoever was woken before has his message already.
-- $1 agent · $2 key · $3 the run that ends
UPDATE guild_core.invocations i
SET state = CASE i.state WHEN 'QUEUED' THEN 'ADMITTED' ELSE i.state END, held_at = NULL, held_by = NULL, held_reason = NULL,
    predicted_start = NULL
FROM (
  SELECT r.id FROM guild_core.invocations r
  WHERE r.agent_id = $1 AND r.slot_key = $2 AND r.finished_at IS NULL AND r.id <> $3
    AND (r.state = 'QUEUED' OR (r.state = 'ADMITTED' AND r.held_at IS NOT NULL)) AND (r.not_before IS NULL OR r.not_before <= now())
  ORDER BY guild_core.place_in_line(r.priority, r.queued_at), r.id
  LIMIT 1
  FOR UPDATE SKIP LOCKED
) next
WHERE i.id = next.id
RETURNING i.id, i.priority, i.queued_at;

-- name: openBreaker
-- After a run that failed: with the ones before it in the window, is it one too many? The same failures as the registry counts.
-- $1 agent · $2 this run · $3 failures that are too many · $4 window in ms · $5 pause in ms
INSERT INTO guild_core.agent_breakers (agent_id, failures, opened_at, retry_at, until)
SELECT $1::text, $3::integer, now(), now() + $5::double precision * interval '1 ms',
  -- It is remembered as long as its failures count, and never shorter than it rests.
  greatest(f.oldest + $4::double precision * interval '1 ms', now() + $5::double precision * interval '1 ms')
FROM (
  SELECT count(*) AS runs, coalesce(min(r.finished_at), now()) AS oldest
  FROM (
    SELECT i.finished_at FROM guild_core.invocations i
    WHERE i.agent_id = $1 AND i.id <> $2 AND i.state IN ('FAILED', 'DEAD')
      AND i.finished_at > now() - $4::double precision * interval '1 ms'
      AND i.queued_at > now() - interval '48 hours' - $4::double precision * interval '1 ms'
    ORDER BY i.finished_at DESC
    LIMIT $3::integer - 1
  ) r
) f
WHERE f.runs >= $3::integer - 1
ON CONFLICT (agent_id) DO UPDATE
  SET failures = excluded.failures, retry_at = excluded.retry_at, until = excluded.until, probe = NULL
RETURNING retry_at;

-- name: closeBreaker
-- A run that began while the breaker was there has ended well: those that wait for it are due.
WITH closed AS (
  DELETE FROM guild_core.agent_breakers WHERE agent_id = $1 RETURNING agent_id
)
UPDATE guild_core.invocations i SET not_before = NULL
FROM closed WHERE i.agent_id = closed.agent_id AND i.held_by = 'breaker' AND i.finished_at IS NULL;
