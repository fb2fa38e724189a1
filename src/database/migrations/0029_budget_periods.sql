-- The budgets of running periods among those of all runs. Nothing in it ever changes, so the changes of a budget stay within their page.
CREATE INDEX token_budgets_periods ON guild_ledger.token_budgets (period_end)
  WHERE entity_type IN ('organization', 'chapter', 'agent');
