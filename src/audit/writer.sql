-- name: lockChain
SELECT pg_advisory_xact_lock(7031980002);

-- name: headAndKnown
-- The head of the chain, and those of the ids that are in it already: a second delivery.
SELECT (SELECT seq FROM guild_audit.audit_log ORDER BY seq DESC LIMIT 1) AS seq,
       (SELECT hash FROM guild_audit.audit_log ORDER BY seq DESC LIMIT 1) AS hash,
       ARRAY(SELECT id FROM guild_audit.audit_log WHERE id = ANY ($1::text[])) AS known;

-- name: append
INSERT INTO guild_audit.audit_log (seq, id, timestamp, event_type, agent_id, source_event_id, action_type, target_system, payload, result,
                                   error_message, trace_id, invocation_id, action_id, actor, codex_commit, decision_id, prev_hash, hash)
SELECT seq, id, timestamp, event_type, agent_id, source_event_id, action_type, target_system, payload, result,
       error_message, trace_id, invocation_id, action_id, actor, codex_commit, decision_id, prev_hash, hash
FROM jsonb_to_recordset($1::jsonb) AS r (
  seq bigint, id text, timestamp timestamptz, event_type text, agent_id text, source_event_id text, action_type text, target_system text,
  payload jsonb, result text, error_message text, trace_id text, invocation_id text, action_id text, actor text, codex_commit text,
  decision_id text, prev_hash text, hash text
);
