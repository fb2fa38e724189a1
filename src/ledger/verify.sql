-- name: findProblems
-- One statement, so one snapshot of the whole ledger, also while it is being written.
WITH used AS (
  SELECT budget.id, sum(u.total_tokens)::bigint AS tokens, sum(u.cost_micros)::bigint AS cost
  FROM guild_ledger.token_usage u CROSS JOIN LATERAL jsonb_array_elements_text(u.budget_ids) AS budget (id)
  GROUP BY budget.id
), held AS (
  SELECT budget.id, sum(r.tokens)::bigint AS tokens, sum(r.cost_micros)::bigint AS cost
  FROM guild_ledger.reservations r CROSS JOIN LATERAL jsonb_array_elements_text(r.budget_ids) AS budget (id)
  WHERE r.state = 'OPEN'
  GROUP BY budget.id
), expected AS (
  SELECT id, b.consumed_tokens, b.consumed_cost_micros, b.reserved_tokens, b.reserved_cost_micros,
    coalesce(used.tokens, 0) AS used_tokens, coalesce(used.cost, 0) AS used_cost,
    coalesce(held.tokens, 0) AS held_tokens, coalesce(held.cost, 0) AS held_cost, b.budget_id
  FROM (SELECT t.*, t.id AS budget_id FROM guild_ledger.token_budgets t) b
  FULL JOIN used USING (id)
  FULL JOIN held USING (id)
)
SELECT id, 'the budget row is missing, but use or reservations name it' AS problem FROM expected WHERE budget_id IS NULL
UNION ALL
SELECT id, format('consumed is %s tokens, its usage adds up to %s', consumed_tokens, used_tokens)
FROM expected WHERE consumed_tokens <> used_tokens
UNION ALL
SELECT id, format('consumed is %s micro-USD, its usage adds up to %s', consumed_cost_micros, used_cost)
FROM expected WHERE consumed_cost_micros <> used_cost
UNION ALL
SELECT id, format('reserved is %s tokens, its open reservations add up to %s', reserved_tokens, held_tokens)
FROM expected WHERE reserved_tokens <> held_tokens
UNION ALL
SELECT id, format('reserved is %s micro-USD, its open reservations add up to %s', reserved_cost_micros, held_cost)
FROM expected WHERE reserved_cost_micros <> held_cost
UNION ALL
SELECT id, 'a figure is negative' FROM expected
WHERE least(consumed_tokens, consumed_cost_micros, reserved_tokens, reserved_cost_micros) < 0
UNION ALL
SELECT r.id, format('the reservation is %s, but no usage was stored', r.state)
FROM guild_ledger.reservations r
WHERE r.state IN ('SETTLED', 'LOST') AND NOT EXISTS (
  SELECT FROM guild_ledger.token_usage u
  WHERE u.invocation_id = r.invocation_id AND u.step_seq = r.step_seq AND u.attempt = r.attempt
)
UNION ALL
SELECT u.id, format('usage was stored, but its reservation is %s', coalesce(r.state, 'missing'))
FROM guild_ledger.token_usage u
LEFT JOIN guild_ledger.reservations r USING (invocation_id, step_seq, attempt)
WHERE r.state IS NULL OR r.state NOT IN ('SETTLED', 'LOST')
ORDER BY 1, 2
LIMIT 100;

-- name: readTotals
SELECT
  (SELECT count(*) FROM guild_ledger.token_budgets) AS budgets,
  (SELECT count(*) FROM guild_ledger.token_usage) AS calls,
  (SELECT count(*) FROM guild_ledger.token_usage WHERE estimated) AS estimated_calls,
  (SELECT coalesce(sum(total_tokens), 0)::bigint FROM guild_ledger.token_usage) AS tokens,
  (SELECT coalesce(sum(cost_micros), 0)::bigint FROM guild_ledger.token_usage) AS cost_micros,
  (SELECT count(*) FROM guild_ledger.reservations WHERE state = 'OPEN') AS open_reservations,
  (SELECT coalesce(sum(tokens), 0)::bigint FROM guild_ledger.reservations WHERE state = 'OPEN') AS reserved_tokens,
  (SELECT coalesce(sum(cost_micros), 0)::bigint FROM guild_ledger.reservations WHERE state = 'OPEN') AS reserved_cost_micros,
  (SELECT count(*)
   FROM guild_ledger.token_usage u JOIN guild_ledger.reservations r USING (invocation_id, step_seq, attempt)
   WHERE u.total_tokens > r.tokens OR u.cost_micros > r.cost_micros) AS calls_over_estimate;
