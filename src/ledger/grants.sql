-- name: addGrants
-- Runs after lockBudgets. A grant that is known under its id adds nothing again.
-- $1 grants as JSON
WITH wanted AS (
  SELECT * FROM jsonb_to_recordset($1::jsonb) AS g (
    id text, budget_id text, tokens bigint, cost_micros bigint, invocation_id text, granted_by text, reason text, at timestamptz
  )
), added AS (
  INSERT INTO guild_ledger.grants (id, budget_id, tokens, cost_micros, invocation_id, granted_by, reason, at)
  SELECT id, budget_id, tokens, cost_micros, invocation_id, granted_by, reason, at FROM wanted
  ON CONFLICT DO NOTHING
  RETURNING budget_id, tokens, cost_micros, at
), raised AS (
  UPDATE guild_ledger.token_budgets b
  SET granted_tokens = b.granted_tokens + a.tokens, granted_cost_micros = b.granted_cost_micros + a.cost_micros, updated_at = a.at
  FROM added a WHERE b.id = a.budget_id
)
SELECT count(*)::integer AS added FROM added;

-- name: readGranted
-- What the budgets of a grant hold already.
SELECT id, budget_tokens, cost_limit_micros, granted_tokens, granted_cost_micros
FROM guild_ledger.token_budgets WHERE id = ANY ($1::text[]);

-- name: sameGrant
SELECT min(tokens)::bigint AS tokens, min(cost_micros)::bigint AS cost_micros, min(invocation_id) AS invocation_id,
  array_agg(budget_id ORDER BY budget_id COLLATE "C") AS budget_ids, count(*)::integer AS count
FROM guild_ledger.grants WHERE id = $1;

-- name: listGrants
SELECT g.id, g.budget_id, b.entity_type, b.entity_id, b.limit_kind, b.period_end, g.tokens, g.cost_micros, g.invocation_id, g.granted_by,
  g.reason, g.at
FROM guild_ledger.grants g JOIN guild_ledger.token_budgets b ON b.id = g.budget_id
ORDER BY g.at DESC, g.id, g.budget_id LIMIT $1;
