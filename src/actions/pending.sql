-- name: lockPending
SELECT a.id, a.lane, a.invocation_id, a.agent_id, a.event_id, a.trace_id, a.chapter, a.priority, a.type, a.connector, a.target_system,
  a.target, a.args, a.autonomy, a.integrity, a.confidentiality, a.state, a.codex_commit, a.awaited, a.undo_of, a.requested_by, a.expected, a.dedupe_key,
  a.expires_at, p.id AS approval_id, p.kind, p.args_hash AS approval_hash, p.before AS seen_before, p.requested_at, e.metadata -> 'actor' AS asker
FROM guild_core.approvals p
JOIN guild_core.actions a ON a.id = p.action_id
LEFT JOIN guild_core.event_keys k ON k.id = a.event_id
LEFT JOIN guild_core.events e ON e.received_at = k.received_at AND e.id = k.id
WHERE p.state = 'PENDING' AND (p.id = $1 OR p.action_id = $1)
FOR UPDATE OF p, a;

-- name: stateOf
SELECT a.id, a.state FROM guild_core.actions a
WHERE a.id = $1 OR a.id = (SELECT p.action_id FROM guild_core.approvals p WHERE p.id = $1);
