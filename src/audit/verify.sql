-- name: page
-- Microseconds, so that a change smaller than a Date can hold is seen.
SELECT seq, id, to_char(timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp, event_type, agent_id,
       source_event_id, action_type, target_system, payload, result, error_message, trace_id, invocation_id, action_id, actor,
       codex_commit, decision_id, prev_hash, hash
FROM guild_audit.audit_log
WHERE seq > $1
ORDER BY seq
LIMIT 500;
