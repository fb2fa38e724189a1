-- Two workers that make the first budget row of a period at once meet at one unique key only: `ON CONFLICT (id)` waits for the other at
-- the primary key, but a second unique index refuses. The id is made of these columns, so it is as unique without it.
ALTER TABLE guild_ledger.token_budgets DROP CONSTRAINT token_budgets_entity_type_entity_id_limit_kind_period_start_key;
CREATE INDEX token_budgets_entity ON guild_ledger.token_budgets (entity_type, entity_id, period_start);
