-- The seed's guild_ledger. Invariants, checked by `guild ledger verify`:
--   consumed_tokens = sum of token_usage, reserved_tokens = sum of OPEN reservations, consumed + reserved <= limit.
CREATE SCHEMA IF NOT EXISTS guild_ledger;

CREATE TABLE guild_ledger.token_budgets (
  id                    text PRIMARY KEY,
  entity_type           varchar(20) NOT NULL CHECK (entity_type IN ('organization', 'chapter', 'agent', 'run')),
  entity_id             varchar(100) NOT NULL,
  limit_kind            varchar(10) NOT NULL CHECK (limit_kind IN ('hour', 'day', 'month', 'run')),
  period_start          timestamptz NOT NULL,
  period_end            timestamptz NOT NULL,
  budget_tokens         bigint,
  consumed_tokens       bigint NOT NULL DEFAULT 0 CHECK (consumed_tokens >= 0),
  reserved_tokens       bigint NOT NULL DEFAULT 0 CHECK (reserved_tokens >= 0),
  cost_limit_micros     bigint,
  consumed_cost_micros  bigint NOT NULL DEFAULT 0 CHECK (consumed_cost_micros >= 0),
  reserved_cost_micros  bigint NOT NULL DEFAULT 0 CHECK (reserved_cost_micros >= 0),
  alert_state           varchar(10),
  updated_at            timestamptz NOT NULL DEFAULT now(),
  UNIQUE (entity_type, entity_id, limit_kind, period_start)
);

CREATE TABLE guild_ledger.reservations (
  id             text PRIMARY KEY,
  invocation_id  text NOT NULL,
  step_seq       integer NOT NULL,
  attempt        integer NOT NULL,
  budget_ids     jsonb NOT NULL,
  tokens         bigint NOT NULL CHECK (tokens >= 0),
  cost_micros    bigint NOT NULL CHECK (cost_micros >= 0),
  state          varchar(10) NOT NULL CHECK (state IN ('OPEN', 'SETTLED', 'RELEASED', 'LOST')),
  owner          text NOT NULL,
  lease_epoch    integer NOT NULL,
  expires_at     timestamptz NOT NULL,
  created_at     timestamptz NOT NULL DEFAULT now(),
  closed_at      timestamptz,
  UNIQUE (invocation_id, step_seq, attempt)
);
CREATE INDEX reservations_open ON guild_ledger.reservations (expires_at) WHERE state = 'OPEN';

CREATE TABLE guild_ledger.token_usage (
  id                  text PRIMARY KEY,
  agent_id            varchar(100) NOT NULL,
  chapter             varchar(100),
  invocation_id       text NOT NULL,
  step_seq            integer NOT NULL,
  attempt             integer NOT NULL,
  budget_ids          jsonb NOT NULL,
  input_tokens        integer NOT NULL,
  output_tokens       integer NOT NULL,
  total_tokens        integer NOT NULL,
  input_nocache       integer NOT NULL,
  input_cache_read    integer NOT NULL,
  input_cache_write   integer NOT NULL,
  output_text         integer NOT NULL,
  output_reasoning    integer NOT NULL,
  cost_micros         bigint NOT NULL,
  provider            varchar(100) NOT NULL,
  model               varchar(200) NOT NULL,
  price_version       varchar(50),
  estimated           boolean NOT NULL DEFAULT false,
  raw                 jsonb NOT NULL DEFAULT '{}',
  timestamp           timestamptz NOT NULL DEFAULT now(),
  event_id            varchar(100) NOT NULL,
  UNIQUE (invocation_id, step_seq, attempt)
);
CREATE INDEX token_usage_time ON guild_ledger.token_usage (timestamp);
CREATE INDEX token_usage_agent ON guild_ledger.token_usage (agent_id, timestamp);

CREATE TABLE guild_ledger.alerts (
  budget_id   text NOT NULL REFERENCES guild_ledger.token_budgets (id),
  threshold   integer NOT NULL CHECK (threshold IN (75, 90, 95)),
  dimension   varchar(10) NOT NULL CHECK (dimension IN ('tokens', 'cost')),
  at          timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (budget_id, threshold, dimension)
);

-- The seed names this table `budgets` in one place and `token_budgets` in another; both work.
CREATE VIEW guild_ledger.budgets AS SELECT * FROM guild_ledger.token_budgets;
