-- The seed's guild_core (agents, schedules, routing_rules) and what the line needs beside it. Ids are text: `evt_…`, `inv_…`.
CREATE SCHEMA IF NOT EXISTS guild_core;

CREATE TABLE guild_core.agents (
  id               varchar(100) PRIMARY KEY,
  agent_type       varchar(50) NOT NULL,
  chapter          varchar(100),
  version          varchar(50) NOT NULL,
  capabilities     jsonb NOT NULL DEFAULT '[]',
  resource_config  jsonb NOT NULL DEFAULT '{}',
  triggers         jsonb NOT NULL DEFAULT '[]',
  status           varchar(20) NOT NULL DEFAULT 'DORMANT' CHECK (status IN ('ACTIVE', 'DORMANT', 'DEGRADED')),
  status_reason    text,
  owner            varchar(100),
  codex_commit     text NOT NULL,
  last_invocation  timestamptz,
  error_count_24h  integer NOT NULL DEFAULT 0,
  removed_at       timestamptz,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE guild_core.schedules (
  id               uuid PRIMARY KEY,
  name             varchar(255) NOT NULL,
  cron_expression  varchar(100) NOT NULL,
  timezone         varchar(50) NOT NULL,
  target_agent     varchar(100) NOT NULL,
  intent           varchar(100),
  enabled          boolean NOT NULL DEFAULT true,
  last_run         timestamptz,
  next_run         timestamptz
);

-- What routes at the serving commit: a copy for people and SQL; the dispatcher reads the Codex.
CREATE TABLE guild_core.routing_rules (
  id             text PRIMARY KEY,
  event_type     varchar(100) NOT NULL,
  source         varchar(100),
  condition      text,
  target_agents  jsonb NOT NULL,
  priority       varchar(20),
  codex_commit   text NOT NULL
);

CREATE TABLE guild_core.codex_snapshots (
  commit_id  text PRIMARY KEY,
  hash       text,
  state      varchar(20) NOT NULL CHECK (state IN ('VALID', 'INVALID')),
  problems   jsonb NOT NULL DEFAULT '[]',
  loaded_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE guild_core.events (
  id             text PRIMARY KEY,
  type           varchar(100) NOT NULL,
  source         varchar(100) NOT NULL,
  connector      varchar(100) NOT NULL,
  chapter        varchar(100),
  priority       varchar(20) NOT NULL,
  trace_id       text NOT NULL,
  subject_kind   text NOT NULL,
  subject_id     text NOT NULL,
  actor          text NOT NULL,
  dedup_key      text NOT NULL,
  payload        jsonb NOT NULL,
  metadata       jsonb NOT NULL,
  occurred_at    timestamptz NOT NULL,
  received_at    timestamptz NOT NULL,
  causal_root    text NOT NULL,
  causal_depth   integer NOT NULL,
  causal_parent  text,
  disposition    varchar(20) NOT NULL,
  rule           text,
  reason         text NOT NULL,
  invocations    integer NOT NULL DEFAULT 0,
  codex_commit   text NOT NULL,
  decided_at     timestamptz NOT NULL DEFAULT now(),
  UNIQUE (source, dedup_key)
);
CREATE INDEX events_received ON guild_core.events (received_at DESC, id DESC);
CREATE INDEX events_subject ON guild_core.events (subject_id, received_at DESC);
CREATE INDEX events_trace ON guild_core.events (trace_id);
CREATE INDEX events_root ON guild_core.events (causal_root);

-- One row per reception: received = sum of dispositions is counted here.
CREATE TABLE guild_core.receipts (
  id            text PRIMARY KEY,
  event_id      text NOT NULL,
  duplicate_of  text,
  source        varchar(100) NOT NULL,
  delivery_id   text NOT NULL,
  body_hash     text,
  disposition   varchar(20) NOT NULL,
  received_at   timestamptz NOT NULL
);
CREATE INDEX receipts_event ON guild_core.receipts (event_id);
CREATE INDEX receipts_body ON guild_core.receipts (source, body_hash, received_at) WHERE body_hash IS NOT NULL;
CREATE INDEX receipts_received ON guild_core.receipts (received_at DESC, id DESC);
CREATE INDEX receipts_delivery ON guild_core.receipts (delivery_id);
CREATE INDEX receipts_duplicates ON guild_core.receipts (duplicate_of) WHERE duplicate_of IS NOT NULL;

-- Why: for everything that happened, and for everything that did not (law 5).
CREATE TABLE guild_core.decisions (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at             timestamptz NOT NULL DEFAULT now(),
  stage          varchar(20) NOT NULL CHECK (stage IN ('dispatch', 'admission', 'run', 'guard', 'budget', 'policy', 'action', 'approval')),
  outcome        varchar(40) NOT NULL,
  event_id       text,
  receipt_id     text,
  agent_id       varchar(100),
  invocation_id  text,
  action_id      text,
  rule           text,
  reason         text NOT NULL,
  codex_commit   text,
  detail         jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX decisions_event ON guild_core.decisions (event_id, id);
CREATE INDEX decisions_invocation ON guild_core.decisions (invocation_id, id) WHERE invocation_id IS NOT NULL;
CREATE INDEX decisions_action ON guild_core.decisions (action_id, id) WHERE action_id IS NOT NULL;

CREATE TABLE guild_core.invocations (
  id               text PRIMARY KEY,
  agent_id         varchar(100) NOT NULL,
  agent_type       varchar(50) NOT NULL,
  agent_version    varchar(50) NOT NULL,
  chapter          varchar(100),
  event_id         text NOT NULL REFERENCES guild_core.events (id),
  trace_id         text NOT NULL,
  causal_root      text NOT NULL,
  causal_depth     integer NOT NULL,
  parent_id        text,
  codex_commit     text NOT NULL,
  snapshot_hash    text NOT NULL,
  rule             text NOT NULL,
  priority         varchar(20) NOT NULL,
  state            varchar(30) NOT NULL CHECK (state IN ('QUEUED', 'ADMITTED', 'RUNNING', 'WAITING_APPROVAL', 'WAITING_ACTION', 'WAITING_INPUT',
                     'WAITING_RATE', 'COMPLETED', 'STOPPED', 'FAILED', 'DEAD')),
  reason           varchar(30) CHECK (reason IN ('BUDGET_RUN', 'BUDGET_AGENT', 'BUDGET_CHAPTER', 'BUDGET_ORG', 'MAX_STEPS', 'MAX_TOOL_CALLS',
                     'DEADLINE', 'LOOP', 'CAUSAL_DEPTH', 'POLICY', 'PROVIDER', 'TOOL', 'CODEX_INVALID', 'CANCELLED', 'OVERRIDDEN', 'POISON')),
  reason_detail    text,
  lease_owner      text,
  lease_epoch      integer NOT NULL DEFAULT 0,
  lease_until      timestamptz,
  attempts         integer NOT NULL DEFAULT 0,
  -- attempts in a row that ended, or died, with the same step unfinished; three are poison
  failing_seq      integer,
  failures         integer NOT NULL DEFAULT 0,
  not_before       timestamptz,
  running_since    timestamptz,
  active_ms        bigint NOT NULL DEFAULT 0,
  waiting_since    timestamptz,
  waited_ms        bigint NOT NULL DEFAULT 0,
  queued_at        timestamptz NOT NULL DEFAULT now(),
  -- the dispatcher's sweeper: when, and how often, the message of this row was sent again (law 1)
  republished_at   timestamptz,
  republished      integer NOT NULL DEFAULT 0,
  started_at       timestamptz,
  finished_at      timestamptz,
  summary          text,
  output           jsonb,
  provider         text,
  model            text,
  model_calls      integer NOT NULL DEFAULT 0,
  tool_calls       integer NOT NULL DEFAULT 0,
  input_tokens     bigint NOT NULL DEFAULT 0,
  output_tokens    bigint NOT NULL DEFAULT 0,
  cost_micros      bigint NOT NULL DEFAULT 0,
  actions          integer NOT NULL DEFAULT 0,
  transcript_ref   text,
  UNIQUE (agent_id, event_id)
);
CREATE INDEX invocations_queued_at ON guild_core.invocations (queued_at DESC, id DESC);
CREATE INDEX invocations_open ON guild_core.invocations (state, lease_until)
  WHERE state IN ('QUEUED', 'ADMITTED', 'RUNNING', 'WAITING_RATE', 'WAITING_ACTION', 'WAITING_APPROVAL', 'WAITING_INPUT');
CREATE INDEX invocations_event ON guild_core.invocations (event_id);
CREATE INDEX invocations_root ON guild_core.invocations (causal_root);
CREATE INDEX invocations_agent ON guild_core.invocations (agent_id, queued_at DESC);

-- The journal (design/runs.md 3). A step is DONE once and then only read.
CREATE TABLE guild_core.run_steps (
  invocation_id  text NOT NULL REFERENCES guild_core.invocations (id),
  seq            integer NOT NULL,
  attempt        integer NOT NULL DEFAULT 1,
  kind           varchar(20) NOT NULL CHECK (kind IN ('codex', 'context', 'guard', 'llm', 'tool_read', 'action', 'notify', 'approval', 'handoff', 'finish')),
  name           text NOT NULL,
  status         varchar(10) NOT NULL CHECK (status IN ('INTENT', 'DONE', 'FAILED', 'LOST')),
  lease_epoch    integer NOT NULL,
  request_hash   text,
  request        jsonb,
  response       jsonb,
  usage          jsonb,
  error          text,
  started_at     timestamptz NOT NULL DEFAULT now(),
  finished_at    timestamptz,
  PRIMARY KEY (invocation_id, seq, attempt)
);

CREATE TABLE guild_core.actions (
  id             text PRIMARY KEY,
  lane           bigint GENERATED ALWAYS AS IDENTITY,
  action_key     text NOT NULL UNIQUE,
  dedupe_key     text,
  invocation_id  text REFERENCES guild_core.invocations (id),
  agent_id       varchar(100) NOT NULL,
  event_id       text NOT NULL,
  trace_id       text NOT NULL,
  causal_root    text NOT NULL,
  causal_depth   integer NOT NULL,
  chapter        varchar(100),
  priority       varchar(20) NOT NULL,
  type           varchar(50) NOT NULL,
  connector      varchar(100) NOT NULL,
  target_system  varchar(50) NOT NULL,
  target         text NOT NULL,
  args           jsonb NOT NULL,
  args_hash      text NOT NULL,
  autonomy       integer NOT NULL,
  rule           text,
  integrity      varchar(10) NOT NULL DEFAULT 'public',
  receipt        jsonb NOT NULL DEFAULT '{}',
  state          varchar(20) NOT NULL CHECK (state IN ('PROPOSED', 'HELD', 'APPROVED', 'READY', 'EXECUTING', 'SUCCEEDED', 'RETRY', 'AMBIGUOUS', 'PROBING',
                   'PARKED', 'SHADOWED', 'FAILED', 'UNDONE', 'EXPIRED', 'DENIED')),
  reason         text,
  marker         text NOT NULL,
  rendered       jsonb,
  attempts       integer NOT NULL DEFAULT 0,
  probes         integer NOT NULL DEFAULT 0,
  lease_owner    text,
  lease_epoch    integer NOT NULL DEFAULT 0,
  lease_until    timestamptz,
  next_at        timestamptz NOT NULL DEFAULT now(),
  sent_at        timestamptz,
  expires_at     timestamptz NOT NULL,
  remote_id      text,
  remote_url     text,
  remote         jsonb,
  confirmed_by   varchar(10) CHECK (confirmed_by IN ('response', 'probe', 'echo', 'person')),
  provider       text,
  model          text,
  codex_commit   text NOT NULL,
  created_at     timestamptz NOT NULL DEFAULT now(),
  updated_at     timestamptz NOT NULL DEFAULT now(),
  finished_at    timestamptz
);
CREATE INDEX actions_created ON guild_core.actions (created_at DESC, id DESC);
CREATE INDEX actions_invocation ON guild_core.actions (invocation_id);
CREATE INDEX actions_event ON guild_core.actions (event_id);
CREATE INDEX actions_remote_url ON guild_core.actions (remote_url) WHERE remote_url IS NOT NULL;
CREATE INDEX actions_target ON guild_core.actions (connector, target, lane);
CREATE INDEX actions_open ON guild_core.actions (connector, target, lane)
  WHERE state IN ('READY', 'EXECUTING', 'RETRY', 'AMBIGUOUS', 'PROBING');
CREATE INDEX actions_due ON guild_core.actions (next_at) WHERE state IN ('READY', 'EXECUTING', 'RETRY', 'AMBIGUOUS', 'PROBING');
CREATE INDEX actions_expiring ON guild_core.actions (expires_at) WHERE state IN ('PROPOSED', 'HELD', 'APPROVED', 'READY', 'RETRY');

-- Dedupe by meaning within a window: the second of two equal ideas finds the first here.
CREATE TABLE guild_core.action_meanings (
  dedupe_key  text PRIMARY KEY,
  action_id   text NOT NULL,
  until       timestamptz NOT NULL
);

CREATE TABLE guild_core.approvals (
  id             text PRIMARY KEY,
  action_id      text NOT NULL REFERENCES guild_core.actions (id),
  invocation_id  text,
  state          varchar(10) NOT NULL CHECK (state IN ('PENDING', 'APPROVED', 'DENIED', 'EXPIRED')),
  args_hash      text NOT NULL,
  target         text NOT NULL,
  codex_commit   text NOT NULL,
  asked          text NOT NULL,
  requested_at   timestamptz NOT NULL DEFAULT now(),
  expires_at     timestamptz NOT NULL,
  decided_by     text,
  decided_at     timestamptz,
  channel        varchar(20),
  note           text
);
CREATE UNIQUE INDEX approvals_one_pending ON guild_core.approvals (action_id) WHERE state = 'PENDING';
CREATE INDEX approvals_pending ON guild_core.approvals (expires_at) WHERE state = 'PENDING';

CREATE TABLE guild_core.breakers (
  name        text PRIMARY KEY,
  state       varchar(10) NOT NULL CHECK (state IN ('CLOSED', 'OPEN', 'HALF_OPEN')),
  failures    integer NOT NULL DEFAULT 0,
  opened_at   timestamptz,
  retry_at    timestamptz,
  last_error  text,
  -- first failure of the series that counts; times opened in a row; nothing is sent before next_at (pacing, rate limits)
  since       timestamptz,
  openings    integer NOT NULL DEFAULT 0,
  next_at     timestamptz,
  updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE guild_core.outbox (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic       text NOT NULL,
  message     jsonb NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE guild_core.api_keys (
  id            text PRIMARY KEY,
  name          varchar(100) NOT NULL,
  role          varchar(20) NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
  key_hash      text NOT NULL UNIQUE,
  created_at    timestamptz NOT NULL DEFAULT now(),
  last_used_at  timestamptz,
  revoked_at    timestamptz
);

CREATE TABLE guild_core.sign_in_links (
  token_hash  text PRIMARY KEY,
  key_id      text NOT NULL REFERENCES guild_core.api_keys (id),
  expires_at  timestamptz NOT NULL,
  used_at     timestamptz
);
