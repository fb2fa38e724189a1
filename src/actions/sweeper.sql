-- name: survey
-- Heads of lanes with the moment they are due, and what has run out; nothing is open when the guild is idle.
SELECT h.id, 'due' AS kind, greatest(
    CASE WHEN h.state IN ('EXECUTING', 'PROBING') THEN h.lease_until ELSE h.next_at END,
    CASE WHEN h.state = 'READY' THEN h.updated_at + $2::float8 * interval '1 ms' END,
    CASE WHEN h.state IN ('READY', 'RETRY', 'AMBIGUOUS') THEN b.next_at END,
    CASE WHEN h.state IN ('READY', 'RETRY', 'AMBIGUOUS') AND b.state <> 'CLOSED' THEN b.retry_at END) AS at
FROM (
  SELECT DISTINCT ON (connector, target) id, connector, state, lease_until, next_at, updated_at FROM guild_core.actions
  WHERE state IN ('HELD', 'READY', 'EXECUTING', 'RETRY', 'AMBIGUOUS', 'PROBING')
  ORDER BY connector, target, (state IN ('EXECUTING', 'AMBIGUOUS', 'PROBING')) DESC, lane
) h LEFT JOIN guild_core.breakers b ON b.name = 'connector:' || h.connector
UNION ALL
SELECT id, 'expired', expires_at FROM guild_core.actions
WHERE state IN ('PROPOSED', 'HELD', 'APPROVED', 'READY', 'RETRY') AND expires_at <= $1
ORDER BY at LIMIT $3::integer;

-- name: expire
UPDATE guild_core.actions SET state = 'EXPIRED', reason = 'its time ran out', finished_at = $2, updated_at = $2
WHERE id = ANY($1::text[]) AND state IN ('PROPOSED', 'HELD', 'APPROVED', 'READY', 'RETRY') AND expires_at <= $2
RETURNING id, agent_id, event_id, trace_id, invocation_id, type, target_system, target, codex_commit, awaited, undo_of;

-- name: expireApprovals
UPDATE guild_core.approvals SET state = 'EXPIRED', decided_at = $2 WHERE action_id = ANY($1::text[]) AND state = 'PENDING';

-- name: freeMeanings
DELETE FROM guild_core.action_meanings WHERE action_id = ANY($1::text[]);
