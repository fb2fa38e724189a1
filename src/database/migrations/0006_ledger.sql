-- The view names the columns that exist when it is made, and a column that a view reads cannot change its type.
DROP VIEW guild_ledger.budgets;

-- The cost of a causal tree is a level of its own; its entity is the event at the root, whose id may be longer than a name.
ALTER TABLE guild_ledger.token_budgets
  DROP CONSTRAINT token_budgets_entity_type_check,
  DROP CONSTRAINT token_budgets_limit_kind_check,
  ALTER COLUMN entity_id TYPE text,
  ADD CONSTRAINT token_budgets_entity_type_check CHECK (entity_type IN ('organization', 'chapter', 'agent', 'tree', 'run')),
  ADD CONSTRAINT token_budgets_limit_kind_check CHECK (limit_kind IN ('hour', 'day', 'month', 'tree', 'run')),
  -- what people have granted on top of the limit of the Codex, for this period only
  ADD COLUMN granted_tokens bigint NOT NULL DEFAULT 0 CHECK (granted_tokens >= 0),
  ADD COLUMN granted_cost_micros bigint NOT NULL DEFAULT 0 CHECK (granted_cost_micros >= 0);

CREATE VIEW guild_ledger.budgets AS SELECT * FROM guild_ledger.token_budgets;

-- The metric looks at what is reserved, without reading the rest.
CREATE INDEX token_budgets_reserved ON guild_ledger.token_budgets (id) WHERE reserved_tokens <> 0 OR reserved_cost_micros <> 0;

-- What the policies of the time had put in force at this threshold.
ALTER TABLE guild_ledger.alerts ADD COLUMN degradations jsonb NOT NULL DEFAULT '[]';

-- The bound of the input in bytes, from which tokens per byte are learnt; and by how much a call passed its worst case.
ALTER TABLE guild_ledger.token_usage
  ADD COLUMN input_bytes bigint,
  ADD COLUMN estimate_error bigint NOT NULL DEFAULT 0;
CREATE INDEX token_usage_model ON guild_ledger.token_usage (provider, model, timestamp DESC) WHERE NOT estimated AND input_bytes > 0;

-- What a person gave on top of a limit. `id` comes from the caller's key: the same grant twice is one.
CREATE TABLE guild_ledger.grants (
  id             text NOT NULL,
  budget_id      text NOT NULL REFERENCES guild_ledger.token_budgets (id),
  tokens         bigint NOT NULL CHECK (tokens >= 0),
  cost_micros    bigint NOT NULL CHECK (cost_micros >= 0),
  invocation_id  text,
  granted_by     text NOT NULL,
  reason         text,
  at             timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (id, budget_id),
  CHECK (tokens > 0 OR cost_micros > 0)
);
CREATE INDEX grants_time ON guild_ledger.grants (at DESC);

-- The part of the grants that the run itself counts with.
ALTER TABLE guild_core.invocations
  ADD COLUMN granted_tokens bigint NOT NULL DEFAULT 0,
  ADD COLUMN granted_cost_micros bigint NOT NULL DEFAULT 0;
CREATE INDEX invocations_over_budget ON guild_core.invocations (finished_at DESC)
  WHERE state = 'STOPPED' AND reason IN ('BUDGET_RUN', 'BUDGET_AGENT', 'BUDGET_CHAPTER', 'BUDGET_ORG', 'CAUSAL_DEPTH');
