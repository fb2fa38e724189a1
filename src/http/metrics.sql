-- name: deskWaiting
SELECT 'approval' AS label, count(*) AS count FROM guild_core.approvals WHERE state = 'PENDING'
UNION ALL
SELECT 'parked', count(*) FROM guild_core.actions WHERE state = 'PARKED';

-- name: ledgerImbalance
-- Only what is reserved now, which is little, and what may be left behind: in running periods, and by the newest runs and trees.
-- `guild ledger verify` reads all of the ledger.
WITH held AS (
  SELECT budget.id, sum(r.tokens)::bigint AS tokens, sum(r.cost_micros)::bigint AS cost
  FROM guild_ledger.reservations r CROSS JOIN LATERAL jsonb_array_elements_text(r.budget_ids) AS budget (id)
  WHERE r.state = 'OPEN' GROUP BY budget.id
), newest AS (
  SELECT id, causal_root FROM guild_core.invocations ORDER BY queued_at DESC, id DESC LIMIT 500
), named AS (
  SELECT id FROM held
  UNION
  SELECT id FROM guild_ledger.token_budgets WHERE entity_type IN ('organization', 'chapter', 'agent') AND period_end > now()
  UNION
  SELECT b.id FROM newest n CROSS JOIN LATERAL (
    SELECT id FROM guild_ledger.token_budgets
    WHERE entity_type = 'run' AND entity_id = n.id OR entity_type = 'tree' AND entity_id = n.causal_root) b
), compared AS (
  SELECT coalesce(b.reserved_tokens, 0) <> coalesce(h.tokens, 0) AS tokens,
    coalesce(b.reserved_cost_micros, 0) <> coalesce(h.cost, 0) AS cost
  FROM named n LEFT JOIN held h ON h.id = n.id LEFT JOIN guild_ledger.token_budgets b ON b.id = n.id
)
SELECT 'tokens' AS label, count(*) FILTER (WHERE tokens)::integer AS count FROM compared
UNION ALL
SELECT 'cost', count(*) FILTER (WHERE cost)::integer FROM compared;

-- name: budgetUsed
SELECT format('%s %s %s', entity_type, entity_id, limit_kind) AS label,
  greatest(consumed_tokens::float8 / nullif(budget_tokens + granted_tokens, 0),
    consumed_cost_micros::float8 / nullif(cost_limit_micros + granted_cost_micros, 0)) AS count
FROM guild_ledger.token_budgets
WHERE entity_type IN ('organization', 'chapter', 'agent') AND period_start <= now() AND period_end > now()
  AND (budget_tokens + granted_tokens > 0 OR cost_limit_micros + granted_cost_micros > 0)
ORDER BY id COLLATE "C" LIMIT 500;

-- name: breakersOpen
SELECT state AS label, count(*) AS count FROM guild_core.breakers GROUP BY state;
