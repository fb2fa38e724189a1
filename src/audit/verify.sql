-- name: anchors
SELECT seq, hash, from_seq FROM guild_audit.audit_anchors ORDER BY seq;

-- name: page
-- Microseconds, so that a change smaller than a Date can hold is seen.
SELECT seq, id, to_char(timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp, event_type, agent_id,
       source_event_id, action_type, target_system, payload, result, error_message, trace_id, invocation_id, action_id, actor,
       codex_commit, decision_id, prev_hash, hash, to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS recorded_at
FROM guild_audit.audit_log
-- A second row of one number would stand behind it.
WHERE (seq, recorded_at) > ($1, $2::timestamptz)
ORDER BY seq, recorded_at
LIMIT 500;
