-- name: findAbandoned
-- Expired, and nobody will settle it: the run is over, or unknown, or a later owner has done with that call otherwise. A call that
-- was under way when its owner died stays reserved while the run may go on: whoever continues charges it before anything else.
-- With it what is known of the call: one whose intent is still open may have been paid for, and is charged by estimate.
SELECT r.id, r.invocation_id, r.step_seq, r.attempt, s.request, s.usage, i.agent_id, i.chapter, i.event_id, i.codex_commit
FROM guild_ledger.reservations r
LEFT JOIN guild_core.invocations i ON i.id = r.invocation_id
LEFT JOIN guild_core.run_steps s
  ON s.invocation_id = r.invocation_id AND s.run_at = i.made_at AND s.seq = r.step_seq AND s.attempt = r.attempt AND s.status = 'INTENT'
WHERE r.state = 'OPEN' AND r.expires_at < $1
  AND (i.id IS NULL OR i.state IN ('COMPLETED', 'STOPPED', 'FAILED', 'DEAD') OR (i.lease_epoch > r.lease_epoch AND s.seq IS NULL))
ORDER BY r.expires_at
LIMIT 200;

-- name: markLost
-- The step of a lost call, and what it adds to its run.
WITH lost AS (
  UPDATE guild_core.run_steps s SET status = 'LOST', usage = l.usage, error = l.error, finished_at = l.at
  FROM jsonb_to_record($1::jsonb) AS l (invocation_id text, seq integer, attempt integer, usage jsonb, error text, at timestamptz)
  WHERE s.invocation_id = l.invocation_id AND s.run_at = (SELECT r.made_at FROM guild_core.invocations r WHERE r.id = l.invocation_id)
    AND s.seq = l.seq AND s.attempt = l.attempt AND s.status = 'INTENT'
  RETURNING s.invocation_id, s.usage
)
UPDATE guild_core.invocations i
SET model_calls = i.model_calls + 1,
    input_tokens = i.input_tokens + (lost.usage ->> 'inputNocache')::bigint + (lost.usage ->> 'inputCacheRead')::bigint
      + (lost.usage ->> 'inputCacheWrite')::bigint,
    output_tokens = i.output_tokens + (lost.usage ->> 'outputText')::bigint + (lost.usage ->> 'outputReasoning')::bigint,
    cost_micros = i.cost_micros + (lost.usage ->> 'costMicros')::bigint
FROM lost WHERE i.id = lost.invocation_id;
