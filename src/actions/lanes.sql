-- name: laneHead
-- What the lane of action $1 has in hand: what is in flight before what waits, then the oldest.
SELECT a.id, a.invocation_id, a.agent_id, a.event_id, a.trace_id, a.chapter, a.priority, a.type, a.connector, a.target_system, a.target,
  a.args, a.args_hash, a.autonomy, a.integrity, a.confidentiality, a.receipt, a.state, a.reason, a.marker, a.attempts, a.probes, a.lease_epoch,
  a.lease_until, a.next_at, a.sent_at, a.expires_at, a.codex_commit, a.awaited, a.undo_of, a.requested_by, a.expected, a.before,
  (SELECT count(*)::integer FROM guild_core.actions u WHERE u.invocation_id = a.invocation_id AND u.type = a.type AND u.lane < a.lane
     AND u.state <> 'DENIED' AND u.undo_of IS NULL) AS used_before,
  (SELECT p.remote_id FROM guild_core.actions p WHERE p.connector = a.connector AND p.target = a.target AND p.type = a.type
     AND p.agent_id = a.agent_id AND p.state = 'SUCCEEDED' AND p.remote_id IS NOT NULL ORDER BY p.lane DESC LIMIT 1) AS previous_remote_id,
  (SELECT p.args_hash FROM guild_core.approvals p WHERE p.action_id = a.id AND p.state = 'APPROVED' ORDER BY p.decided_at DESC LIMIT 1)
     AS approved_hash,
  b.state AS breaker_state, b.failures AS breaker_failures, b.since AS breaker_since, b.openings AS breaker_openings,
  b.retry_at AS breaker_retry_at, b.next_at AS breaker_next_at
FROM guild_core.actions me
JOIN guild_core.actions a ON a.connector = me.connector AND a.target = me.target
  AND a.state IN ('HELD', 'READY', 'EXECUTING', 'RETRY', 'AMBIGUOUS', 'PROBING')
LEFT JOIN guild_core.breakers b ON b.name = 'connector:' || a.connector
WHERE me.id = $1
ORDER BY (a.state IN ('EXECUTING', 'AMBIGUOUS', 'PROBING')) DESC, a.lane
LIMIT 1;

-- name: laneHeadMany
SELECT r.nth, head.*
FROM unnest($1::text[]) WITH ORDINALITY AS r (id, nth)
CROSS JOIN LATERAL (
  SELECT a.id, a.invocation_id, a.agent_id, a.event_id, a.trace_id, a.chapter, a.priority, a.type, a.connector, a.target_system, a.target,
    a.args, a.args_hash, a.autonomy, a.integrity, a.confidentiality, a.receipt, a.state, a.reason, a.marker, a.attempts, a.probes, a.lease_epoch,
    a.lease_until, a.next_at, a.sent_at, a.expires_at, a.codex_commit, a.awaited, a.undo_of, a.requested_by, a.expected, a.before,
    (SELECT count(*)::integer FROM guild_core.actions u WHERE u.invocation_id = a.invocation_id AND u.type = a.type AND u.lane < a.lane
       AND u.state <> 'DENIED' AND u.undo_of IS NULL) AS used_before,
    (SELECT p.remote_id FROM guild_core.actions p WHERE p.connector = a.connector AND p.target = a.target AND p.type = a.type
       AND p.agent_id = a.agent_id AND p.state = 'SUCCEEDED' AND p.remote_id IS NOT NULL ORDER BY p.lane DESC LIMIT 1) AS previous_remote_id,
    (SELECT p.args_hash FROM guild_core.approvals p WHERE p.action_id = a.id AND p.state = 'APPROVED' ORDER BY p.decided_at DESC LIMIT 1)
       AS approved_hash,
    b.state AS breaker_state, b.failures AS breaker_failures, b.since AS breaker_since, b.openings AS breaker_openings,
    b.retry_at AS breaker_retry_at, b.next_at AS breaker_next_at
  FROM guild_core.actions me
  JOIN guild_core.actions a ON a.connector = me.connector AND a.target = me.target
    AND a.state IN ('HELD', 'READY', 'EXECUTING', 'RETRY', 'AMBIGUOUS', 'PROBING')
  LEFT JOIN guild_core.breakers b ON b.name = 'connector:' || a.connector
  WHERE me.id = r.id
  ORDER BY (a.state IN ('EXECUTING', 'AMBIGUOUS', 'PROBING')) DESC, a.lane
  LIMIT 1
) AS head;

-- name: lockLane
-- Two workers that read the lane at the same moment: the second waits here and then sees what the first has done.
-- Whoever takes several does so in one order.
SELECT pg_advisory_xact_lock(lane.key)
FROM (
  SELECT DISTINCT hashtextextended('guild.lane:' || l.connector || '|' || l.target, 0) AS key
  FROM unnest($1::text[], $2::text[]) AS l (connector, target) ORDER BY key
) AS lane;

-- name: claimCall
UPDATE guild_core.actions a SET state = 'EXECUTING', lease_owner = $3, lease_epoch = a.lease_epoch + 1, lease_until = $4,
  attempts = a.attempts + 1, sent_at = $5, rendered = $6::jsonb, updated_at = $5,
  -- A second try would find what the first has left.
  before = coalesce(a.before, $7::jsonb), after = coalesce(a.after, $8::jsonb)
WHERE a.id = $1 AND a.lease_epoch = $2 AND a.state IN ('READY', 'RETRY') AND a.next_at <= $5
  AND NOT EXISTS (
    SELECT 1 FROM guild_core.actions b WHERE b.connector = a.connector AND b.target = a.target AND b.id <> a.id
      AND (b.state IN ('EXECUTING', 'AMBIGUOUS', 'PROBING') OR (b.state IN ('HELD', 'READY', 'RETRY') AND b.lane < a.lane)))
RETURNING a.lease_epoch, a.attempts;

-- name: claimCallMany
UPDATE guild_core.actions a SET state = 'EXECUTING', lease_owner = r.owner, lease_epoch = a.lease_epoch + 1, lease_until = r.until,
  attempts = a.attempts + 1, sent_at = r.at, rendered = r.rendered::jsonb, updated_at = r.at,
  -- A second try would find what the first has left.
  before = coalesce(a.before, r.before::jsonb), after = coalesce(a.after, r.after::jsonb)
FROM unnest($1::text[], $2::integer[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::text[], $8::text[]) WITH ORDINALITY
  AS r (id, epoch, owner, until, at, rendered, before, after, nth)
WHERE a.id = r.id AND a.lease_epoch = r.epoch AND a.state IN ('READY', 'RETRY') AND a.next_at <= r.at
  AND NOT EXISTS (
    SELECT 1 FROM guild_core.actions b WHERE b.connector = a.connector AND b.target = a.target AND b.id <> a.id
      AND (b.state IN ('EXECUTING', 'AMBIGUOUS', 'PROBING') OR (b.state IN ('HELD', 'READY', 'RETRY') AND b.lane < a.lane)))
RETURNING r.nth, a.lease_epoch, a.attempts;

-- name: claimProbe
UPDATE guild_core.actions SET state = 'PROBING', lease_owner = $3, lease_epoch = lease_epoch + 1, lease_until = $4, updated_at = $5
WHERE id = $1 AND lease_epoch = $2 AND state = 'AMBIGUOUS'
RETURNING lease_epoch, attempts;
