-- Events in parts by the time they were received. That an event and a fact come once must hold across all parts, and a unique key of a
-- parted table cannot say so: a narrow table of keys does. An event is inserted with its key, in one statement, and only if the key was
-- new; by its id it is found through the key, which names the part.
CREATE TABLE guild_core.event_keys (
  id           text PRIMARY KEY,
  source       varchar(100) NOT NULL,
  dedup_key    text NOT NULL,
  received_at  timestamptz NOT NULL,
  UNIQUE (source, dedup_key)
);
INSERT INTO guild_core.event_keys SELECT id, source, dedup_key, received_at FROM guild_core.events;

ALTER TABLE guild_core.invocations
  DROP CONSTRAINT invocations_event_id_fkey,
  DROP CONSTRAINT invocations_latest_event_id_fkey;
ALTER TABLE guild_core.events RENAME TO events_old;
CREATE TABLE guild_core.events (
  id             text NOT NULL,
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
  -- newest first is this index backwards
  PRIMARY KEY (received_at, id)
) PARTITION BY RANGE (received_at);
ALTER INDEX guild_core.events_subject RENAME TO events_old_subject;
ALTER INDEX guild_core.events_trace RENAME TO events_old_trace;
ALTER INDEX guild_core.events_root RENAME TO events_old_root;
CREATE INDEX events_subject ON guild_core.events (subject_id, received_at DESC);
CREATE INDEX events_trace ON guild_core.events (trace_id);
CREATE INDEX events_root ON guild_core.events (causal_root);
CREATE TABLE guild_core.events_rest PARTITION OF guild_core.events DEFAULT;
INSERT INTO guild_core.partitioned VALUES ('guild_core.events', 'received_at', 'week', 'id', false);
SELECT guild_core.make_parts_for('guild_core.events', 'guild_core.events_old', 'received_at');
INSERT INTO guild_core.events
SELECT id, type, source, connector, chapter, priority, trace_id, subject_kind, subject_id, actor, dedup_key, payload, metadata, occurred_at,
  received_at, causal_root, causal_depth, causal_parent, disposition, rule, reason, invocations, codex_commit, decided_at
FROM guild_core.events_old;
DROP TABLE guild_core.events_old;
DROP FUNCTION guild_core.make_parts_for;

-- The story of an event goes with it (retention): each way to what refers to it has its index.
ALTER TABLE guild_core.invocations
  ADD FOREIGN KEY (event_id) REFERENCES guild_core.event_keys (id),
  ADD FOREIGN KEY (latest_event_id) REFERENCES guild_core.event_keys (id) ON DELETE SET NULL;
CREATE INDEX invocations_latest_event ON guild_core.invocations (latest_event_id) WHERE latest_event_id IS NOT NULL;
ALTER TABLE guild_core.actions DROP CONSTRAINT actions_undo_of_fkey;
ALTER TABLE guild_core.actions ADD FOREIGN KEY (undo_of) REFERENCES guild_core.actions (id) ON DELETE SET NULL;
CREATE INDEX actions_undo_of ON guild_core.actions (undo_of) WHERE undo_of IS NOT NULL;
CREATE INDEX approvals_action ON guild_core.approvals (action_id);

-- How far retention has come: what was received before `border` is gone or going, and is counted on no side of the reconciliation.
CREATE TABLE guild_core.retention (
  name    text PRIMARY KEY,
  border  timestamptz NOT NULL
);

-- What each sweeper did last, in whichever process: for `guild doctor` and metrics.
CREATE TABLE guild_core.sweeps (
  name           text PRIMARY KEY,
  -- a run at least so often, or something is wrong
  every_ms       bigint NOT NULL,
  ok_at          timestamptz,
  failed_at      timestamptz,
  error          text,
  runs           bigint NOT NULL DEFAULT 0,
  failures       bigint NOT NULL DEFAULT 0,
  -- rows by kind since the first run, {kind: count}
  swept          jsonb NOT NULL DEFAULT '{}'
);
