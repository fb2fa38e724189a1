-- Five rows of budgets are changed some nine times by every run with a model. The index over what is reserved made each change a new entry
-- in every index of the table, and each look-up walked over all that no vacuum had cleared away yet. Without it the changes stay within the
-- page, where the next one clears up. Who asks what is reserved (a metric) reads the table.
DROP INDEX guild_ledger.token_budgets_reserved;
ALTER TABLE guild_ledger.token_budgets SET (fillfactor = 50);
