-- name: toLook
-- What waits for a person and was not looked at lately. $1 looked at before this · $2 one of them, by id or action, or null · $3 at most
SELECT p.id AS approval_id, a.id, a.marker, a.type, a.agent_id, a.target, a.target_system, a.args, a.connector,
  (SELECT q.remote_id FROM guild_core.actions q WHERE q.connector = a.connector AND q.target = a.target AND q.type = a.type
     AND q.agent_id = a.agent_id AND q.state = 'SUCCEEDED' AND q.remote_id IS NOT NULL ORDER BY q.lane DESC LIMIT 1) AS previous_remote_id
FROM guild_core.approvals p JOIN guild_core.actions a ON a.id = p.action_id
WHERE p.state = 'PENDING' AND ($2::text IS NULL OR p.id = $2 OR p.action_id = $2) AND (p.seen_at IS NULL OR p.seen_at < $1)
ORDER BY p.requested_at DESC LIMIT $3;

-- name: noteSeen
UPDATE guild_core.approvals SET before = coalesce($2::jsonb, before), after = coalesce($3::jsonb, after), seen_at = $4
WHERE id = $1 AND state = 'PENDING';
