-- name: headDecision
SELECT coalesce(max(id), 0) AS id FROM guild_core.decisions;

-- name: decisionsAfter
SELECT d.id, d.at, d.stage, d.outcome, d.event_id, d.agent_id, d.invocation_id, d.action_id, d.rule, d.reason, d.codex_commit,
       e.type AS event_type, e.subject_id, e.source
FROM guild_core.decisions d
LEFT JOIN guild_core.event_keys k ON k.id = d.event_id
LEFT JOIN guild_core.events e ON e.received_at = k.received_at AND e.id = k.id
WHERE d.id > $1
ORDER BY d.id
LIMIT $2;
