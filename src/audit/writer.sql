-- name: lockChain
SELECT pg_advisory_xact_lock(7031980002);

-- name: headAndKnown
-- The head of the chain, and those of the ids that are in it already: a second delivery.
-- $1 ids · $2 the oldest of their times: an entry is recorded after it was made, hence in a part that is not older (give or take clocks)
SELECT head.seq, head.hash,
  ARRAY(SELECT id FROM guild_audit.audit_log WHERE id = ANY ($1::text[]) AND recorded_at >= $2::timestamptz - interval '1 day') AS known
FROM (SELECT 1) AS always LEFT JOIN (SELECT seq, hash FROM guild_audit.audit_log ORDER BY seq DESC LIMIT 1) head ON true;

-- name: append
INSERT INTO guild_audit.audit_log (seq, id, timestamp, event_type, agent_id, source_event_id, action_type, target_system, payload, result,
                                   error_message, trace_id, invocation_id, action_id, actor, codex_commit, decision_id, prev_hash, hash, recorded_at)
SELECT seq, id, timestamp, event_type, agent_id, source_event_id, action_type, target_system, payload, result,
       error_message, trace_id, invocation_id, action_id, actor, codex_commit, decision_id, prev_hash, hash,
       -- A part holds a piece of the chain without holes, whatever the clock does.
       greatest(clock_timestamp(), (SELECT h.recorded_at FROM guild_audit.audit_log h ORDER BY h.seq DESC LIMIT 1))
FROM jsonb_to_recordset($1::jsonb) AS r (
  seq bigint, id text, timestamp timestamptz, event_type text, agent_id text, source_event_id text, action_type text, target_system text,
  payload jsonb, result text, error_message text, trace_id text, invocation_id text, action_id text, actor text, codex_commit text,
  decision_id text, prev_hash text, hash text
);
