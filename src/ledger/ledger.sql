-- Of a causal tree there is a budget for every event that ever was. Here rows are found by an array of their ids, which is always looked
-- up in the index: a join or an IN may be planned as a walk over all of them.

-- name: lockBudgets
-- Creates what is missing and locks all of them, in text order of the ids, which is the lock order of every statement here. A row
-- whose limits did not change is locked without being written. One that several callers name is taken once.
INSERT INTO guild_ledger.token_budgets AS b
  (id, entity_type, entity_id, limit_kind, period_start, period_end, budget_tokens, cost_limit_micros, updated_at)
SELECT DISTINCT ON (id COLLATE "C") id, entity_type, entity_id, limit_kind, period_start, period_end, budget_tokens, cost_limit_micros,
  $2::timestamptz
FROM jsonb_to_recordset($1::jsonb) AS l (
  id text, entity_type text, entity_id text, limit_kind text, period_start timestamptz, period_end timestamptz,
  budget_tokens bigint, cost_limit_micros bigint
)
ORDER BY id COLLATE "C", CASE entity_type WHEN 'tree' THEN cost_limit_micros END
ON CONFLICT (id) DO UPDATE
  SET budget_tokens = excluded.budget_tokens, updated_at = excluded.updated_at,
      -- The strictest of the agents that took part in a causal tree holds for all of it.
      cost_limit_micros = CASE b.entity_type WHEN 'tree' THEN least(b.cost_limit_micros, excluded.cost_limit_micros)
        ELSE excluded.cost_limit_micros END
  WHERE (b.budget_tokens, b.cost_limit_micros) IS DISTINCT FROM (excluded.budget_tokens,
    CASE b.entity_type WHEN 'tree' THEN least(b.cost_limit_micros, excluded.cost_limit_micros) ELSE excluded.cost_limit_micros END);

-- name: reserve
-- Runs after lockBudgets, so the rows cannot change under it: looks at every limit, then takes from all of them or from none. A level
-- of organisation, chapter or agent that is worse than what the call was made for takes nothing either: the caller makes it anew.
-- $1 ids of the budgets in their order, JSON · $2 tokens · $3 cost · $4 id · $5 invocation · $6 step · $7 attempt · $8 owner · $9 epoch · $10 expires · $11 now
-- $12 tokens and $13 cost that must be left over · $14 the worst level that the call was made for
WITH standing AS (
  SELECT (w.place - 1)::integer AS rank, b.id, b.entity_type, b.budget_tokens + b.granted_tokens AS token_limit,
    b.cost_limit_micros + b.granted_cost_micros AS cost_limit, b.consumed_tokens, b.consumed_cost_micros, b.reserved_tokens,
    b.reserved_cost_micros
  FROM jsonb_array_elements_text($1::jsonb) WITH ORDINALITY AS w (id, place)
  JOIN (SELECT * FROM guild_ledger.token_budgets WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text($1::jsonb)))) b ON b.id = w.id
), levels AS (
  SELECT s.rank, max(CASE WHEN d.maximum = 0 THEN 4 ELSE width_bucket(d.consumed::numeric * 100 / d.maximum, ARRAY[75, 90, 95, 100]::numeric[]) END) AS level
  FROM standing s
  CROSS JOIN LATERAL (VALUES (s.token_limit, s.consumed_tokens), (s.cost_limit, s.consumed_cost_micros)) AS d (maximum, consumed)
  WHERE s.entity_type IN ('organization', 'chapter', 'agent') AND d.maximum IS NOT NULL
  GROUP BY s.rank
  ORDER BY level DESC, s.rank
  LIMIT 1
), refused AS (
  SELECT s.rank, d.dimension, d.remaining
  FROM standing s
  CROSS JOIN LATERAL (VALUES
    ('tokens', s.token_limit - s.consumed_tokens - s.reserved_tokens, $2::bigint, $12::bigint),
    ('cost', s.cost_limit - s.consumed_cost_micros - s.reserved_cost_micros, $3::bigint, $13::bigint)
  ) AS d (dimension, remaining, need, kept)
  WHERE d.need > 0 AND d.need + d.kept > d.remaining
  ORDER BY s.rank, d.dimension DESC
  LIMIT 1
), opened AS (
  INSERT INTO guild_ledger.reservations
    (id, invocation_id, step_seq, attempt, budget_ids, tokens, cost_micros, state, owner, lease_epoch, expires_at, created_at)
  SELECT $4::text, $5::text, $6::integer, $7::integer, (SELECT coalesce(jsonb_agg(id ORDER BY rank), '[]') FROM standing), $2::bigint,
    $3::bigint, 'OPEN', $8::text, $9::integer, $10::timestamptz, $11::timestamptz
  WHERE NOT EXISTS (SELECT FROM refused) AND NOT EXISTS (SELECT FROM levels WHERE level > $14::integer)
  ON CONFLICT DO NOTHING
  RETURNING id
), taken AS (
  UPDATE guild_ledger.token_budgets b
  SET reserved_tokens = b.reserved_tokens + $2::bigint, reserved_cost_micros = b.reserved_cost_micros + $3::bigint, updated_at = $11
  WHERE b.id = ANY (ARRAY(SELECT id FROM standing)) AND EXISTS (SELECT FROM opened)
)
SELECT EXISTS (SELECT FROM opened) AS opened, r.rank, r.dimension, greatest(r.remaining, 0) AS remaining, coalesce(l.level, 0) AS level,
  l.rank AS level_rank
FROM (VALUES (1)) AS one LEFT JOIN refused r ON true LEFT JOIN levels l ON true;

-- name: reserveMany
-- For many callers whose calls all fit beside each other: taken for all of them at once. No row: they do not, or a level has passed; then
-- each is asked alone, in turn. What is asked is carried along from step to step: callers are joined by reading all of them for each.
WITH asked AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::integer[], $7::integer[], $8::text[],
    $9::integer[], $10::timestamptz[], $11::timestamptz[], $12::bigint[], $13::bigint[], $14::integer[]) WITH ORDINALITY
    AS r (budgets, tokens, cost_micros, id, invocation_id, step_seq, attempt, owner, epoch, expires_at, at, kept_tokens, kept_cost, level, nth)
), wanted AS MATERIALIZED (
  SELECT a.nth, (w.place - 1)::integer AS rank, w.id, a.id AS reservation, a.tokens, a.cost_micros, a.kept_tokens, a.kept_cost, a.level, a.at
  FROM asked a CROSS JOIN LATERAL jsonb_array_elements_text(a.budgets::jsonb) WITH ORDINALITY AS w (id, place)
), needed AS MATERIALIZED (
  SELECT w.id, sum(w.tokens) AS tokens, sum(w.cost_micros) AS cost, max(w.kept_tokens) AS kept_tokens, max(w.kept_cost) AS kept_cost,
    max(w.at) AS at
  FROM wanted w GROUP BY w.id
), standing AS MATERIALIZED (
  SELECT n.*, b.entity_type, b.budget_tokens + b.granted_tokens AS token_limit, b.cost_limit_micros + b.granted_cost_micros AS cost_limit,
    b.consumed_tokens, b.consumed_cost_micros, b.reserved_tokens, b.reserved_cost_micros
  FROM needed n JOIN guild_ledger.token_budgets b ON b.id = n.id
), levels AS (
  SELECT s.id, max(CASE WHEN d.maximum = 0 THEN 4 ELSE width_bucket(d.consumed::numeric * 100 / d.maximum, ARRAY[75, 90, 95, 100]::numeric[]) END) AS level
  FROM standing s
  CROSS JOIN LATERAL (VALUES (s.token_limit, s.consumed_tokens), (s.cost_limit, s.consumed_cost_micros)) AS d (maximum, consumed)
  WHERE s.entity_type IN ('organization', 'chapter', 'agent') AND d.maximum IS NOT NULL
  GROUP BY s.id
), worst AS MATERIALIZED (
  SELECT DISTINCT ON (w.nth) w.nth, w.rank, l.level, w.level AS made_for FROM wanted w JOIN levels l ON l.id = w.id ORDER BY w.nth, l.level DESC, w.rank
), fits AS MATERIALIZED (
  SELECT NOT EXISTS (
      SELECT FROM standing s
      WHERE (s.tokens > 0 AND s.tokens + s.kept_tokens > s.token_limit - s.consumed_tokens - s.reserved_tokens)
        OR (s.cost > 0 AND s.cost + s.kept_cost > s.cost_limit - s.consumed_cost_micros - s.reserved_cost_micros)
    ) AND NOT EXISTS (SELECT FROM worst WHERE level > made_for) AS together
), opened AS (
  INSERT INTO guild_ledger.reservations
    (id, invocation_id, step_seq, attempt, budget_ids, tokens, cost_micros, state, owner, lease_epoch, expires_at, created_at)
  SELECT a.id, a.invocation_id, a.step_seq, a.attempt, a.budgets::jsonb, a.tokens, a.cost_micros, 'OPEN', a.owner, a.epoch, a.expires_at, a.at
  FROM asked a WHERE (SELECT together FROM fits)
  ON CONFLICT DO NOTHING
  RETURNING id
), taken AS (
  UPDATE guild_ledger.token_budgets b
  SET reserved_tokens = b.reserved_tokens + t.tokens, reserved_cost_micros = b.reserved_cost_micros + t.cost, updated_at = t.at
  FROM (
    -- All of them, unless one was open before.
    SELECT id, tokens::bigint, cost::bigint, at FROM needed WHERE (SELECT count(*) FROM opened) = (SELECT count(*) FROM asked)
    UNION ALL
    SELECT w.id, sum(w.tokens)::bigint, sum(w.cost_micros)::bigint, max(w.at) FROM opened o JOIN wanted w ON w.reservation = o.id
    WHERE (SELECT count(*) FROM opened) < (SELECT count(*) FROM asked)
    GROUP BY w.id
  ) AS t
  WHERE b.id = t.id
)
SELECT a.nth, o.id IS NOT NULL AS opened, NULL::integer AS rank, NULL::text AS dimension, NULL::bigint AS remaining,
  coalesce(w.level, 0) AS level, w.rank AS level_rank
FROM asked a LEFT JOIN opened o ON o.id = a.id LEFT JOIN worst w ON w.nth = a.nth
WHERE (SELECT together FROM fits);

-- name: readReservation
SELECT state, budget_ids FROM guild_ledger.reservations WHERE id = $1;

-- name: lockReserved
-- The budgets of some reservations, locked in the lock order.
SELECT b.id
FROM guild_ledger.token_budgets b
WHERE b.id = ANY (ARRAY(
  SELECT DISTINCT jsonb_array_elements_text(r.budget_ids) FROM guild_ledger.reservations r WHERE r.id = ANY ($1::text[])
))
ORDER BY b.id COLLATE "C"
FOR UPDATE;

-- name: settle
-- Runs after lockReserved. The usage row is what makes it happen once. A reservation that was released in the meantime (its owner
-- was thought dead) is still charged: an answer that came late was paid for.
WITH record AS (
  SELECT * FROM jsonb_to_record($1::jsonb) AS u (
    reservation_id text, usage_id text, agent_id text, chapter text, event_id text, provider text, model text, price_version text,
    input_nocache integer, input_cache_read integer, input_cache_write integer, output_text integer, output_reasoning integer,
    raw jsonb, cost_micros bigint, estimated boolean, input_bytes bigint, degradations jsonb, at timestamptz
  )
), reservation AS (
  SELECT r.* FROM guild_ledger.reservations r JOIN record u ON r.id = u.reservation_id
), used AS (
  INSERT INTO guild_ledger.token_usage
    (id, agent_id, chapter, invocation_id, step_seq, attempt, budget_ids, input_tokens, output_tokens, total_tokens, input_nocache,
     input_cache_read, input_cache_write, output_text, output_reasoning, cost_micros, provider, model, price_version, estimated, raw,
     timestamp, event_id, input_bytes, estimate_error)
  SELECT u.usage_id, u.agent_id, u.chapter, r.invocation_id, r.step_seq, r.attempt, r.budget_ids,
    u.input_nocache + u.input_cache_read + u.input_cache_write, u.output_text + u.output_reasoning,
    u.input_nocache + u.input_cache_read + u.input_cache_write + u.output_text + u.output_reasoning, u.input_nocache,
    u.input_cache_read, u.input_cache_write, u.output_text, u.output_reasoning, u.cost_micros, u.provider, u.model, u.price_version,
    u.estimated, u.raw, u.at, u.event_id, u.input_bytes,
    greatest(0, u.input_nocache + u.input_cache_read + u.input_cache_write + u.output_text + u.output_reasoning - r.tokens)
  FROM record u CROSS JOIN reservation r
  ON CONFLICT DO NOTHING
  RETURNING total_tokens, cost_micros, estimated, estimate_error, timestamp
), closed AS (
  UPDATE guild_ledger.reservations r
  SET state = CASE WHEN used.estimated THEN 'LOST' ELSE 'SETTLED' END, closed_at = used.timestamp
  FROM used, reservation old
  WHERE r.id = old.id
), charged AS (
  UPDATE guild_ledger.token_budgets b
  SET consumed_tokens = b.consumed_tokens + used.total_tokens,
      consumed_cost_micros = b.consumed_cost_micros + used.cost_micros,
      reserved_tokens = b.reserved_tokens - CASE WHEN old.state = 'OPEN' THEN old.tokens ELSE 0 END,
      reserved_cost_micros = b.reserved_cost_micros - CASE WHEN old.state = 'OPEN' THEN old.cost_micros ELSE 0 END,
      alert_state = coalesce(
        CASE greatest(
          width_bucket((b.consumed_tokens + used.total_tokens)::numeric * 100 / nullif(b.budget_tokens + b.granted_tokens, 0), ARRAY[75, 90, 95]::numeric[]),
          width_bucket((b.consumed_cost_micros + used.cost_micros)::numeric * 100 / nullif(b.cost_limit_micros + b.granted_cost_micros, 0), ARRAY[75, 90, 95]::numeric[])
        ) WHEN 1 THEN 'yellow' WHEN 2 THEN 'orange' WHEN 3 THEN 'red' END, b.alert_state),
      updated_at = used.timestamp
  FROM used, reservation old
  WHERE b.id = ANY (ARRAY(SELECT jsonb_array_elements_text(budget_ids) FROM reservation))
  RETURNING b.id, b.entity_type, b.entity_id, b.limit_kind, b.budget_tokens + b.granted_tokens AS token_limit, b.consumed_tokens,
    b.cost_limit_micros + b.granted_cost_micros AS cost_limit, b.consumed_cost_micros, used.timestamp AS at
), passed AS (
  INSERT INTO guild_ledger.alerts (budget_id, threshold, dimension, degradations, at)
  SELECT c.id, t.threshold, d.dimension,
    CASE WHEN c.entity_type IN ('organization', 'chapter', 'agent') THEN coalesce(u.degradations -> t.threshold::text, '[]') ELSE '[]' END, c.at
  FROM charged c
  CROSS JOIN record u
  CROSS JOIN (VALUES (75), (90), (95)) AS t (threshold)
  CROSS JOIN LATERAL (VALUES
    ('tokens', c.token_limit, c.consumed_tokens), ('cost', c.cost_limit, c.consumed_cost_micros)
  ) AS d (dimension, maximum, consumed)
  WHERE d.maximum > 0 AND d.consumed::numeric * 100 >= d.maximum::numeric * t.threshold
  ON CONFLICT DO NOTHING
  RETURNING budget_id, threshold, dimension, degradations
)
SELECT EXISTS (SELECT FROM reservation) AS known, EXISTS (SELECT FROM used) AS charged,
  (SELECT estimate_error FROM used) AS estimate_error, (SELECT tokens FROM reservation) AS reserved_tokens,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('budgetId', p.budget_id, 'entityType', c.entity_type, 'entityId', c.entity_id,
     'kind', c.limit_kind, 'threshold', p.threshold, 'dimension', p.dimension, 'degradations', p.degradations)
     ORDER BY p.budget_id COLLATE "C", p.threshold, p.dimension), '[]')
   FROM passed p JOIN charged c ON c.id = p.budget_id) AS alerts;

-- name: settleMany
-- For many callers: a budget is charged once with the sum. An alert is told by the first of those whose calls it takes to set it off.
WITH record AS MATERIALIZED (
  SELECT * FROM ROWS FROM (jsonb_to_recordset($1::jsonb) AS (
    reservation_id text, usage_id text, agent_id text, chapter text, event_id text, provider text, model text, price_version text,
    input_nocache integer, input_cache_read integer, input_cache_write integer, output_text integer, output_reasoning integer,
    raw jsonb, cost_micros bigint, estimated boolean, input_bytes bigint, degradations jsonb, at timestamptz
  )) WITH ORDINALITY AS u (
    reservation_id, usage_id, agent_id, chapter, event_id, provider, model, price_version, input_nocache,
    input_cache_read, input_cache_write, output_text, output_reasoning, raw, cost_micros, estimated,
    input_bytes, degradations, at, nth
  )
), reservation AS MATERIALIZED (
  SELECT u.*, r.invocation_id, r.step_seq, r.attempt, r.budget_ids, r.tokens AS held_tokens, r.cost_micros AS held_cost, r.state
  FROM record u JOIN guild_ledger.reservations r ON r.id = u.reservation_id
), used AS (
  INSERT INTO guild_ledger.token_usage
    (id, agent_id, chapter, invocation_id, step_seq, attempt, budget_ids, input_tokens, output_tokens, total_tokens, input_nocache,
     input_cache_read, input_cache_write, output_text, output_reasoning, cost_micros, provider, model, price_version, estimated, raw,
     timestamp, event_id, input_bytes, estimate_error)
  SELECT u.usage_id, u.agent_id, u.chapter, u.invocation_id, u.step_seq, u.attempt, u.budget_ids,
    u.input_nocache + u.input_cache_read + u.input_cache_write, u.output_text + u.output_reasoning,
    u.input_nocache + u.input_cache_read + u.input_cache_write + u.output_text + u.output_reasoning, u.input_nocache,
    u.input_cache_read, u.input_cache_write, u.output_text, u.output_reasoning, u.cost_micros, u.provider, u.model, u.price_version,
    u.estimated, u.raw, u.at, u.event_id, u.input_bytes,
    greatest(0, u.input_nocache + u.input_cache_read + u.input_cache_write + u.output_text + u.output_reasoning - u.held_tokens)
  FROM reservation u
  ON CONFLICT DO NOTHING
  RETURNING id, total_tokens, cost_micros, estimated, estimate_error, timestamp
), made AS MATERIALIZED (
  SELECT used.*, r.nth, r.reservation_id, r.budget_ids, r.held_tokens, r.held_cost, r.state
  FROM used JOIN reservation r ON r.usage_id = used.id
), closed AS (
  UPDATE guild_ledger.reservations r
  SET state = CASE WHEN made.estimated THEN 'LOST' ELSE 'SETTLED' END, closed_at = made.timestamp
  FROM made
  WHERE r.id = made.reservation_id
), due AS MATERIALIZED (
  SELECT budget.id, sum(m.total_tokens)::bigint AS tokens, sum(m.cost_micros)::bigint AS cost, max(m.timestamp) AS at,
    coalesce(sum(m.held_tokens) FILTER (WHERE m.state = 'OPEN'), 0)::bigint AS held_tokens,
    coalesce(sum(m.held_cost) FILTER (WHERE m.state = 'OPEN'), 0)::bigint AS held_cost, min(m.nth) AS teller
  FROM made m CROSS JOIN LATERAL jsonb_array_elements_text(m.budget_ids) AS budget (id)
  GROUP BY budget.id
), charged AS (
  UPDATE guild_ledger.token_budgets b
  SET consumed_tokens = b.consumed_tokens + due.tokens,
      consumed_cost_micros = b.consumed_cost_micros + due.cost,
      reserved_tokens = b.reserved_tokens - due.held_tokens,
      reserved_cost_micros = b.reserved_cost_micros - due.held_cost,
      alert_state = coalesce(
        CASE greatest(
          width_bucket((b.consumed_tokens + due.tokens)::numeric * 100 / nullif(b.budget_tokens + b.granted_tokens, 0), ARRAY[75, 90, 95]::numeric[]),
          width_bucket((b.consumed_cost_micros + due.cost)::numeric * 100 / nullif(b.cost_limit_micros + b.granted_cost_micros, 0), ARRAY[75, 90, 95]::numeric[])
        ) WHEN 1 THEN 'yellow' WHEN 2 THEN 'orange' WHEN 3 THEN 'red' END, b.alert_state),
      updated_at = due.at
  FROM due
  WHERE b.id = due.id
  RETURNING b.id, b.entity_type, b.entity_id, b.limit_kind, b.budget_tokens + b.granted_tokens AS token_limit, b.consumed_tokens,
    b.cost_limit_micros + b.granted_cost_micros AS cost_limit, b.consumed_cost_micros, due.at, due.teller
), passed AS (
  INSERT INTO guild_ledger.alerts (budget_id, threshold, dimension, degradations, at)
  SELECT c.id, t.threshold, d.dimension,
    CASE WHEN c.entity_type IN ('organization', 'chapter', 'agent')
      THEN coalesce((SELECT u.degradations -> t.threshold::text FROM record u WHERE u.nth = c.teller), '[]') ELSE '[]' END, c.at
  FROM charged c
  CROSS JOIN (VALUES (75), (90), (95)) AS t (threshold)
  CROSS JOIN LATERAL (VALUES
    ('tokens', c.token_limit, c.consumed_tokens), ('cost', c.cost_limit, c.consumed_cost_micros)
  ) AS d (dimension, maximum, consumed)
  WHERE d.maximum > 0 AND d.consumed::numeric * 100 >= d.maximum::numeric * t.threshold
  ON CONFLICT DO NOTHING
  RETURNING budget_id, threshold, dimension, degradations
)
SELECT u.nth, r.nth IS NOT NULL AS known, m.nth IS NOT NULL AS charged, m.estimate_error, r.held_tokens AS reserved_tokens,
  CASE WHEN EXISTS (SELECT FROM passed) THEN (SELECT coalesce(jsonb_agg(jsonb_build_object('budgetId', p.budget_id, 'entityType', c.entity_type, 'entityId', c.entity_id,
     'kind', c.limit_kind, 'threshold', p.threshold, 'dimension', p.dimension, 'degradations', p.degradations)
     ORDER BY p.budget_id COLLATE "C", p.threshold, p.dimension), '[]')
   FROM passed p JOIN charged c ON c.id = p.budget_id WHERE c.teller = u.nth) ELSE '[]' END AS alerts
FROM record u LEFT JOIN reservation r ON r.nth = u.nth LEFT JOIN made m ON m.nth = u.nth;

-- name: release
-- Runs after lockReserved. Only what is still OPEN is given back.
WITH closed AS (
  UPDATE guild_ledger.reservations SET state = 'RELEASED', closed_at = coalesce($2::timestamptz, now())
  WHERE id = ANY ($1::text[]) AND state = 'OPEN'
  RETURNING id, budget_ids, tokens, cost_micros
), back AS (
  SELECT budget.id, sum(c.tokens)::bigint AS tokens, sum(c.cost_micros)::bigint AS cost_micros
  FROM closed c CROSS JOIN LATERAL jsonb_array_elements_text(c.budget_ids) AS budget (id)
  GROUP BY budget.id
), returned AS (
  UPDATE guild_ledger.token_budgets b
  SET reserved_tokens = b.reserved_tokens - back.tokens, reserved_cost_micros = b.reserved_cost_micros - back.cost_micros,
    updated_at = coalesce($2::timestamptz, now())
  FROM back
  WHERE b.id = back.id
)
SELECT count(*)::integer AS released FROM closed;
