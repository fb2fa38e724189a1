-- name: auditPage
SELECT seq, id, timestamp, event_type, actor, agent_id, source_event_id, action_type, target_system, payload, result, error_message,
       trace_id, invocation_id, action_id, codex_commit, decision_id, prev_hash, hash
FROM guild_audit.audit_log
WHERE ($1::bigint IS NULL OR seq < $1)
ORDER BY seq DESC
LIMIT $2;
