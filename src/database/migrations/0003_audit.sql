-- The seed's guild_audit: append-only and hash-chained. `seq` has no gaps; hash = SHA-256(canonical JSON of the row with prev_hash).
CREATE SCHEMA IF NOT EXISTS guild_audit;

CREATE TABLE guild_audit.audit_log (
  seq              bigint PRIMARY KEY,
  id               text NOT NULL UNIQUE,
  timestamp        timestamptz NOT NULL,
  event_type       varchar(50) NOT NULL,
  agent_id         varchar(100),
  source_event_id  varchar(100),
  action_type      varchar(50),
  target_system    varchar(50),
  payload          jsonb NOT NULL DEFAULT '{}',
  result           varchar(20),
  error_message    text,
  trace_id         text,
  invocation_id    text,
  action_id        text,
  actor            text NOT NULL,
  codex_commit     text,
  decision_id      text,
  prev_hash        text NOT NULL,
  hash             text NOT NULL
);
CREATE INDEX audit_log_time ON guild_audit.audit_log (timestamp DESC);
CREATE INDEX audit_log_source_event ON guild_audit.audit_log (source_event_id);
CREATE INDEX audit_log_invocation ON guild_audit.audit_log (invocation_id);

CREATE FUNCTION guild_audit.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'guild_audit.audit_log is append-only';
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON guild_audit.audit_log
  FOR EACH ROW EXECUTE FUNCTION guild_audit.refuse_change();

CREATE VIEW guild_audit.events AS SELECT * FROM guild_audit.audit_log WHERE event_type LIKE 'EVENT_%';
CREATE VIEW guild_audit.actions AS SELECT * FROM guild_audit.audit_log WHERE event_type LIKE 'ACTION_%';
CREATE VIEW guild_audit.errors AS SELECT * FROM guild_audit.audit_log WHERE result = 'FAILURE';
