-- name: readRoom
-- Where some budgets stand, without a lock: for decisions that are taken again, under the lock, before anything is spent.
SELECT id, budget_tokens, granted_tokens, consumed_tokens, reserved_tokens, cost_limit_micros, granted_cost_micros,
  consumed_cost_micros, reserved_cost_micros
FROM guild_ledger.token_budgets WHERE id = ANY ($1::text[]);
