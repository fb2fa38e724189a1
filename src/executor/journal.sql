-- name: claim
-- One UPDATE: whoever changes the row owns the run. A lease that lapsed says that its owner died in the middle: that counts as a
-- failure at the first step that is not done.
-- $1 invocation · $2 owner · $3 lease in ms
UPDATE guild_core.invocations i
SET state = 'RUNNING', lease_owner = $2, lease_epoch = i.lease_epoch + 1, attempts = i.attempts + 1, not_before = NULL,
    reason = NULL, reason_detail = NULL, summary = NULL, output = NULL, transcript_ref = NULL, journal_until = NULL,
    lease_until = now() + $3::double precision * interval '1 millisecond',
    started_at = coalesce(i.started_at, now()), running_since = now(), waiting_since = NULL,
    held_at = NULL, held_by = NULL, held_reason = NULL, predicted_start = NULL,
    active_ms = i.active_ms + coalesce(extract(epoch FROM least(now(), i.lease_until) - i.running_since) * 1000, 0)::bigint,
    waited_ms = i.waited_ms + coalesce(extract(epoch FROM now() - i.waiting_since) * 1000, 0)::bigint,
    failing_seq = CASE WHEN i.lease_owner IS NULL THEN i.failing_seq ELSE p.next_seq END,
    failures = CASE WHEN i.lease_owner IS NULL THEN i.failures WHEN i.failing_seq = p.next_seq THEN i.failures + 1 ELSE 1 END
FROM (
  SELECT coalesce(max(seq) FILTER (WHERE status = 'DONE'), -1) + 1 AS next_seq FROM guild_core.run_steps
  WHERE invocation_id = $1 AND run_at = (SELECT made_at FROM guild_core.invocations WHERE id = $1)
) AS p
WHERE i.id = $1 AND i.state IN ('QUEUED', 'ADMITTED', 'RUNNING', 'WAITING_RATE', 'WAITING_ACTION', 'WAITING_APPROVAL')
  AND (i.lease_until IS NULL OR i.lease_until <= now()) AND (i.not_before IS NULL OR i.not_before <= now())
  -- Admission, late (0009_admission.sql): a breaker, then a slot. What was cancelled may always end.
  AND (i.cancel IS NOT NULL OR (
    (i.attempts > 0 OR NOT EXISTS (SELECT 1 FROM guild_core.agent_breakers b WHERE b.agent_id = i.agent_id)
      OR guild_core.breaker_lets(i.id, i.agent_id))
    AND (i.slots_max IS NULL OR guild_core.slot_free(i.id, i.agent_id, i.slot_key, i.slots_max,
      guild_core.place_in_line(i.priority, i.queued_at)))))
RETURNING i.id, i.agent_id, i.agent_type, i.agent_version, i.chapter, i.event_id, i.trace_id, i.causal_root, i.causal_depth,
  i.codex_commit, i.rule, i.priority, i.lease_epoch, i.attempts, i.failing_seq, i.failures, i.queued_at, i.active_ms, i.waited_ms,
  i.granted_tokens, i.granted_cost_micros,
  i.slot_key, i.cancel, i.handoff, EXISTS (SELECT 1 FROM guild_core.agent_breakers b WHERE b.agent_id = i.agent_id) AS has_breaker;

-- name: claimMany
-- For each of many; slots are taken in the order of their keys, in which everybody takes more than one.
UPDATE guild_core.invocations i
SET state = 'RUNNING', lease_owner = p.owner, lease_epoch = i.lease_epoch + 1, attempts = i.attempts + 1, not_before = NULL,
    reason = NULL, reason_detail = NULL, summary = NULL, output = NULL, transcript_ref = NULL, journal_until = NULL,
    lease_until = now() + p.lease_ms * interval '1 millisecond',
    started_at = coalesce(i.started_at, now()), running_since = now(), waiting_since = NULL,
    held_at = NULL, held_by = NULL, held_reason = NULL, predicted_start = NULL,
    active_ms = i.active_ms + coalesce(extract(epoch FROM least(now(), i.lease_until) - i.running_since) * 1000, 0)::bigint,
    waited_ms = i.waited_ms + coalesce(extract(epoch FROM now() - i.waiting_since) * 1000, 0)::bigint,
    failing_seq = CASE WHEN i.lease_owner IS NULL THEN i.failing_seq ELSE p.next_seq END,
    failures = CASE WHEN i.lease_owner IS NULL THEN i.failures WHEN i.failing_seq = p.next_seq THEN i.failures + 1 ELSE 1 END
FROM (
  SELECT r.nth, r.id, r.owner, r.lease_ms, (
    SELECT coalesce(max(s.seq) FILTER (WHERE s.status = 'DONE'), -1) + 1 FROM guild_core.run_steps s
    WHERE s.invocation_id = q.id AND s.run_at = q.made_at
  ) AS next_seq
  FROM unnest($1::text[], $2::text[], $3::double precision[]) WITH ORDINALITY AS r (id, owner, lease_ms, nth)
  JOIN guild_core.invocations q ON q.id = r.id
  ORDER BY q.agent_id, q.slot_key, r.id
) AS p
WHERE i.id = p.id AND i.state IN ('QUEUED', 'ADMITTED', 'RUNNING', 'WAITING_RATE', 'WAITING_ACTION', 'WAITING_APPROVAL')
  AND (i.lease_until IS NULL OR i.lease_until <= now()) AND (i.not_before IS NULL OR i.not_before <= now())
  -- Admission, late (0009_admission.sql): a breaker, then a slot. What was cancelled may always end.
  AND (i.cancel IS NOT NULL OR (
    (i.attempts > 0 OR NOT EXISTS (SELECT 1 FROM guild_core.agent_breakers b WHERE b.agent_id = i.agent_id)
      OR guild_core.breaker_lets(i.id, i.agent_id))
    AND (i.slots_max IS NULL OR guild_core.slot_free(i.id, i.agent_id, i.slot_key, i.slots_max,
      guild_core.place_in_line(i.priority, i.queued_at)))))
RETURNING p.nth, i.id, i.agent_id, i.agent_type, i.agent_version, i.chapter, i.event_id, i.trace_id, i.causal_root, i.causal_depth,
  i.codex_commit, i.rule, i.priority, i.lease_epoch, i.attempts, i.failing_seq, i.failures, i.queued_at, i.active_ms, i.waited_ms,
  i.granted_tokens, i.granted_cost_micros,
  i.slot_key, i.cancel, i.handoff, EXISTS (SELECT 1 FROM guild_core.agent_breakers b WHERE b.agent_id = i.agent_id) AS has_breaker;

-- name: load
-- After the claim, in a snapshot of its own: a step that the last owner wrote while we waited for the row must be seen.
SELECT e.id, e.type, e.source, e.payload, e.metadata,
  (SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.seq, s.attempt), '[]') FROM guild_core.run_steps s
   WHERE s.invocation_id = i.id AND s.run_at = i.made_at) AS steps
FROM guild_core.invocations i
-- Of the events that joined the run before it started the newest one holds.
JOIN guild_core.event_keys k ON k.id = coalesce(i.latest_event_id, i.event_id)
JOIN guild_core.events e ON e.received_at = k.received_at AND e.id = k.id
WHERE i.id = $1;

-- name: loadMany
SELECT r.nth, e.id, e.type, e.source, e.payload, e.metadata,
  (SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.seq, s.attempt), '[]') FROM guild_core.run_steps s
   WHERE s.invocation_id = i.id AND s.run_at = i.made_at) AS steps
FROM unnest($1::text[]) WITH ORDINALITY AS r (id, nth)
JOIN guild_core.invocations i ON i.id = r.id
JOIN guild_core.event_keys k ON k.id = coalesce(i.latest_event_id, i.event_id)
JOIN guild_core.events e ON e.received_at = k.received_at AND e.id = k.id;

-- name: look
SELECT state, greatest(extract(epoch FROM greatest(lease_until, not_before) - now()) * 1000, 0)::integer AS wait_ms
FROM guild_core.invocations WHERE id = $1;

-- name: hear
SELECT cancel, granted_tokens, granted_cost_micros FROM guild_core.invocations WHERE id = $1;

-- name: hearMany
SELECT r.nth, i.cancel, i.granted_tokens, i.granted_cost_micros
FROM unnest($1::text[]) WITH ORDINALITY AS r (id, nth) JOIN guild_core.invocations i ON i.id = r.id;

-- name: write
-- Locks the row of the run first: an owner whose epoch is over changes nothing, and one that writes cannot be overtaken before it
-- commits. With a new state the lease is given back in the same breath. A row in which nothing changes is only locked: a new version of
-- it would cost an entry in each index where the page is full.
-- $1 invocation · $2 epoch · $3 steps · $4 what changes in the run's own row
WITH changed AS (
  UPDATE guild_core.invocations i
  SET model_calls = i.model_calls + coalesce(c.model_calls, 0), tool_calls = i.tool_calls + coalesce(c.tool_calls, 0),
      input_tokens = i.input_tokens + coalesce(c.input_tokens, 0), output_tokens = i.output_tokens + coalesce(c.output_tokens, 0),
      cost_micros = i.cost_micros + coalesce(c.cost_micros, 0), actions = i.actions + coalesce(c.actions, 0),
      provider = coalesce(c.provider, i.provider), model = coalesce(c.model, i.model),
      state = coalesce(c.state, i.state),
      reason = c.reason, reason_detail = c.detail, summary = c.summary, output = c.output, transcript_ref = c.transcript_ref,
      lease_owner = CASE WHEN c.state IS NULL THEN i.lease_owner END,
      lease_until = CASE WHEN c.state IS NULL THEN i.lease_until END,
      running_since = CASE WHEN c.state IS NULL THEN i.running_since END,
      active_ms = i.active_ms
        + CASE WHEN c.state IS NULL THEN 0 ELSE coalesce(extract(epoch FROM now() - i.running_since) * 1000, 0) END::bigint,
      not_before = now() + c.wait_ms * interval '1 millisecond',
      waiting_since = CASE WHEN c.state LIKE 'WAITING%' THEN now() END,
      failing_seq = CASE WHEN c.failures IS NULL THEN i.failing_seq ELSE c.failing_seq END,
      failures = coalesce(c.failures, i.failures),
      journal_until = now() + c.journal_ms * interval '1 millisecond', journal_forgotten = coalesce(c.forgotten, i.journal_forgotten),
      finished_at = CASE WHEN c.state IN ('COMPLETED', 'STOPPED', 'FAILED', 'DEAD') THEN now() END
  FROM jsonb_to_record($4::jsonb) AS c (
    model_calls integer, tool_calls integer, input_tokens bigint, output_tokens bigint, cost_micros bigint, actions integer,
    provider text, model text, state text, reason text, detail text, summary text, output jsonb, transcript_ref text,
    wait_ms double precision, failing_seq integer, failures integer, journal_ms double precision, forgotten boolean
  )
  WHERE i.id = $1 AND i.lease_epoch = $2 AND i.state = 'RUNNING' AND $4::jsonb <> '{}'
  RETURNING i.id, i.made_at, i.cancel, i.granted_tokens, i.granted_cost_micros
), locked AS MATERIALIZED (
  SELECT i.id, i.made_at, i.cancel, i.granted_tokens, i.granted_cost_micros
  FROM guild_core.invocations i
  WHERE i.id = $1 AND i.lease_epoch = $2 AND i.state = 'RUNNING' AND $4::jsonb = '{}'
  FOR NO KEY UPDATE
), own AS (
  SELECT * FROM changed UNION ALL SELECT * FROM locked
), written AS (
  INSERT INTO guild_core.run_steps
    (invocation_id, seq, attempt, kind, name, status, lease_epoch, request_hash, request, response, usage, error, started_at, finished_at,
     run_at)
  SELECT own.id, s.seq, s.attempt, s.kind, s.name, s.status, $2::integer, s.request_hash, s.request, s.response, s.usage, s.error,
    s.started_at, s.finished_at, own.made_at
  FROM own CROSS JOIN jsonb_to_recordset($3::jsonb) AS s (
    seq integer, attempt integer, kind text, name text, status text, request_hash text, request jsonb, response jsonb, usage jsonb,
    error text, started_at timestamptz, finished_at timestamptz
  )
  ON CONFLICT (invocation_id, seq, attempt, run_at) DO UPDATE
    SET status = excluded.status, lease_epoch = excluded.lease_epoch, request = excluded.request, response = excluded.response,
        usage = excluded.usage, error = excluded.error, finished_at = excluded.finished_at
    WHERE run_steps.status = 'INTENT'
  RETURNING 1
)
SELECT (SELECT count(*) FROM own)::integer AS own, (SELECT cancel FROM own) AS cancel,
  (SELECT granted_tokens FROM own) AS granted_tokens, (SELECT granted_cost_micros FROM own) AS granted_cost_micros,
  (SELECT count(*) FROM written)::integer AS written;

-- name: writeMany
-- For each of many runs: those whose epoch is over are told so, the others are written.
-- $3 steps and $4 changes of all, each as one JSON array.
WITH asked AS MATERIALIZED (
  SELECT r.nth, r.id, r.epoch, r.steps, r.entry
  FROM ROWS FROM (unnest($1::text[]), unnest($2::integer[]), jsonb_array_elements($3::jsonb), jsonb_array_elements($4::jsonb))
    WITH ORDINALITY AS r (id, epoch, steps, entry, nth)
), changed AS (
  UPDATE guild_core.invocations i
  SET model_calls = i.model_calls + coalesce(c.model_calls, 0), tool_calls = i.tool_calls + coalesce(c.tool_calls, 0),
      input_tokens = i.input_tokens + coalesce(c.input_tokens, 0), output_tokens = i.output_tokens + coalesce(c.output_tokens, 0),
      cost_micros = i.cost_micros + coalesce(c.cost_micros, 0), actions = i.actions + coalesce(c.actions, 0),
      provider = coalesce(c.provider, i.provider), model = coalesce(c.model, i.model),
      state = coalesce(c.state, i.state),
      reason = c.reason, reason_detail = c.detail, summary = c.summary, output = c.output, transcript_ref = c.transcript_ref,
      lease_owner = CASE WHEN c.state IS NULL THEN i.lease_owner END,
      lease_until = CASE WHEN c.state IS NULL THEN i.lease_until END,
      running_since = CASE WHEN c.state IS NULL THEN i.running_since END,
      active_ms = i.active_ms
        + CASE WHEN c.state IS NULL THEN 0 ELSE coalesce(extract(epoch FROM now() - i.running_since) * 1000, 0) END::bigint,
      not_before = now() + c.wait_ms * interval '1 millisecond',
      waiting_since = CASE WHEN c.state LIKE 'WAITING%' THEN now() END,
      failing_seq = CASE WHEN c.failures IS NULL THEN i.failing_seq ELSE c.failing_seq END,
      failures = coalesce(c.failures, i.failures),
      journal_until = now() + c.journal_ms * interval '1 millisecond', journal_forgotten = coalesce(c.forgotten, i.journal_forgotten),
      finished_at = CASE WHEN c.state IN ('COMPLETED', 'STOPPED', 'FAILED', 'DEAD') THEN now() END
  FROM asked CROSS JOIN LATERAL jsonb_to_record(asked.entry) AS c (
    model_calls integer, tool_calls integer, input_tokens bigint, output_tokens bigint, cost_micros bigint, actions integer,
    provider text, model text, state text, reason text, detail text, summary text, output jsonb, transcript_ref text,
    wait_ms double precision, failing_seq integer, failures integer, journal_ms double precision, forgotten boolean
  )
  WHERE i.id = asked.id AND i.lease_epoch = asked.epoch AND i.state = 'RUNNING' AND asked.entry <> '{}'
  RETURNING asked.nth, asked.steps, i.id, i.made_at, i.lease_epoch, i.cancel, i.granted_tokens, i.granted_cost_micros
), locked AS MATERIALIZED (
  SELECT asked.nth, asked.steps, i.id, i.made_at, i.lease_epoch, i.cancel, i.granted_tokens, i.granted_cost_micros
  FROM asked JOIN guild_core.invocations i ON i.id = asked.id
  WHERE i.lease_epoch = asked.epoch AND i.state = 'RUNNING' AND asked.entry = '{}'
  FOR NO KEY UPDATE OF i
), own AS (
  SELECT * FROM changed UNION ALL SELECT * FROM locked
), written AS (
  INSERT INTO guild_core.run_steps
    (invocation_id, seq, attempt, kind, name, status, lease_epoch, request_hash, request, response, usage, error, started_at, finished_at,
     run_at)
  SELECT own.id, s.seq, s.attempt, s.kind, s.name, s.status, own.lease_epoch, s.request_hash, s.request, s.response, s.usage, s.error,
    s.started_at, s.finished_at, own.made_at
  FROM own CROSS JOIN LATERAL jsonb_to_recordset(own.steps) AS s (
    seq integer, attempt integer, kind text, name text, status text, request_hash text, request jsonb, response jsonb, usage jsonb,
    error text, started_at timestamptz, finished_at timestamptz
  )
  ON CONFLICT (invocation_id, seq, attempt, run_at) DO UPDATE
    SET status = excluded.status, lease_epoch = excluded.lease_epoch, request = excluded.request, response = excluded.response,
        usage = excluded.usage, error = excluded.error, finished_at = excluded.finished_at
    WHERE run_steps.status = 'INTENT'
  RETURNING invocation_id
), counted AS (
  SELECT invocation_id, count(*)::integer AS written FROM written GROUP BY invocation_id
)
SELECT asked.nth, CASE WHEN own.nth IS NULL THEN 0 ELSE 1 END AS own, own.cancel, own.granted_tokens, own.granted_cost_micros,
  coalesce(counted.written, 0) AS written
FROM asked LEFT JOIN own ON own.nth = asked.nth LEFT JOIN counted ON counted.invocation_id = own.id;

-- name: beat
UPDATE guild_core.invocations SET lease_until = now() + $3::double precision * interval '1 millisecond'
WHERE id = $1 AND lease_epoch = $2 AND state = 'RUNNING'
RETURNING id;

-- name: noteUsage
-- What the provider reported at the start of its answer: charged if the rest never comes.
-- The epoch is the run's, not only the step's: until the next owner has charged the lost call, its row still carries the old one.
UPDATE guild_core.run_steps s SET usage = $5::jsonb
FROM guild_core.invocations i
WHERE s.invocation_id = $1 AND s.run_at = (SELECT r.made_at FROM guild_core.invocations r WHERE r.id = $1)
  AND s.lease_epoch = $2 AND s.seq = $3 AND s.attempt = $4 AND s.status = 'INTENT'
  AND i.id = s.invocation_id AND i.lease_epoch = $2 AND i.state = 'RUNNING';

-- name: over
-- A run that is over, as the claim would have read it: for a transcript that its worker could not write any more.
SELECT i.*, (extract(epoch FROM now() - i.finished_at) * 1000)::bigint AS over_ms
FROM guild_core.invocations i
WHERE i.id = $1 AND i.transcript_ref IS NOT NULL AND i.state IN ('COMPLETED', 'STOPPED', 'FAILED', 'DEAD');

-- name: forgetTranscript
UPDATE guild_core.invocations SET transcript_ref = NULL
WHERE id = $1 AND state IN ('COMPLETED', 'STOPPED', 'FAILED', 'DEAD') AND transcript_ref = $2;
