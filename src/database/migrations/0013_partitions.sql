-- Tables that grow for ever, in parts by time (architecture.md 5): retention drops a part in one breath instead of deleting row by row.
-- A part is `<table>_<first day in UTC>`. What fits no part goes to `<table>_rest`, so that no insert ever fails for want of one, and
-- moves when its part is made. Advisory lock (20779, table): who makes or drops parts.
CREATE TABLE guild_core.partitioned (
  name         text PRIMARY KEY,
  time_column  text NOT NULL,
  width        text NOT NULL CHECK (width IN ('week', 'month')),
  -- rows of what is still open move to `_rest` when their part is dropped, and are known by this column
  id_column    text,
  -- UPDATE, DELETE and TRUNCATE are refused on every part
  append_only  boolean NOT NULL DEFAULT false
);

CREATE FUNCTION guild_core.part_start(width text, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT date_trunc(width, at, 'UTC')
$$;

CREATE FUNCTION guild_core.part_end(width text, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT (date_trunc(width, at AT TIME ZONE 'UTC') + ('1 ' || width)::interval) AT TIME ZONE 'UTC'
$$;

-- What there is, from the catalogue alone. `_rest` has no bounds. `rows`: as of the last ANALYZE.
CREATE VIEW guild_core.parts AS
SELECT t.name AS parent, n.nspname || '.' || c.relname AS part,
  substring(pg_get_expr(c.relpartbound, c.oid) FROM $$FROM \('([^']+)'\)$$)::timestamptz AS from_at,
  substring(pg_get_expr(c.relpartbound, c.oid) FROM $$TO \('([^']+)'\)$$)::timestamptz AS to_at,
  greatest(c.reltuples, 0)::bigint AS rows
FROM guild_core.partitioned t
JOIN pg_inherits i ON i.inhparent = t.name::regclass
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_namespace n ON n.oid = c.relnamespace;

-- Makes the part that `p_at` belongs to, with what `_rest` holds of it. @returns false: it is there already
-- Readers and writers of other parts go on; who waits for `_rest` waits no longer than lock_timeout, then this is tried another time.
CREATE FUNCTION guild_core.make_part(p_table text, p_at timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  v_of    guild_core.partitioned;
  v_from  timestamptz;
  v_to    timestamptz;
  v_part  text;
  v_rest  boolean;
BEGIN
  SELECT * INTO STRICT v_of FROM guild_core.partitioned t WHERE t.name = p_table;
  v_from := guild_core.part_start(v_of.width, p_at);
  v_to := guild_core.part_end(v_of.width, p_at);
  v_part := p_table || '_' || to_char(v_from AT TIME ZONE 'UTC', 'YYYYMMDD');
  IF to_regclass(v_part) IS NOT NULL THEN RETURN false; END IF;
  PERFORM pg_advisory_xact_lock(20779, hashtext(p_table));
  IF to_regclass(v_part) IS NOT NULL THEN RETURN false; END IF;
  PERFORM set_config('lock_timeout', '2000', true);
  EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING ALL)', v_part, p_table);
  EXECUTE format('LOCK TABLE %s_rest IN ACCESS EXCLUSIVE MODE', p_table);
  EXECUTE format('SELECT EXISTS (SELECT FROM %s_rest WHERE %I >= $1 AND %2$I < $2)', p_table, v_of.time_column)
  INTO v_rest USING v_from, v_to;
  IF v_rest THEN
    IF v_of.append_only THEN EXECUTE format('ALTER TABLE %s_rest DISABLE TRIGGER USER', p_table); END IF;
    EXECUTE format('WITH moved AS (DELETE FROM %s_rest WHERE %I >= $1 AND %2$I < $2 RETURNING *) INSERT INTO %s SELECT * FROM moved',
      p_table, v_of.time_column, v_part) USING v_from, v_to;
    IF v_of.append_only THEN EXECUTE format('ALTER TABLE %s_rest ENABLE TRIGGER USER', p_table); END IF;
  END IF;
  EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', p_table, v_part, v_from, v_to);
  IF v_of.append_only THEN
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION guild_audit.refuse_change()', v_part);
  END IF;
  RETURN true;
END $$;

-- The part of now, `p_ahead` further ones, and those of what lies in `_rest` from `p_from` on, at most ten. @returns how many were made
CREATE FUNCTION guild_core.make_parts(p_table text, p_ahead integer, p_from timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_of    guild_core.partitioned;
  v_at    timestamptz;
  v_made  integer := 0;
BEGIN
  SELECT * INTO STRICT v_of FROM guild_core.partitioned t WHERE t.name = p_table;
  v_at := guild_core.part_start(v_of.width, now());
  FOR i IN 0..p_ahead LOOP
    IF guild_core.make_part(p_table, v_at) THEN v_made := v_made + 1; END IF;
    v_at := guild_core.part_end(v_of.width, v_at);
  END LOOP;
  FOR v_at IN EXECUTE format('SELECT DISTINCT guild_core.part_start(%L, r.%I) FROM %s_rest r WHERE r.%2$I >= $1 ORDER BY 1 DESC LIMIT 10',
    v_of.width, v_of.time_column, p_table) USING p_from
  LOOP
    IF guild_core.make_part(p_table, v_at) THEN v_made := v_made + 1; END IF;
  END LOOP;
  RETURN v_made;
END $$;

-- Drops the part that begins at `p_from`. Rows whose id is in `p_keep` move to `_rest`. @returns how many moved; null: no such part
CREATE FUNCTION guild_core.drop_part(p_table text, p_from timestamptz, p_keep text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_of    guild_core.partitioned;
  v_part  text;
  v_kept  bigint := 0;
BEGIN
  SELECT * INTO STRICT v_of FROM guild_core.partitioned t WHERE t.name = p_table;
  PERFORM pg_advisory_xact_lock(20779, hashtext(p_table));
  SELECT p.part INTO v_part FROM guild_core.parts p WHERE p.parent = p_table AND p.from_at = p_from;
  IF v_part IS NULL THEN RETURN NULL; END IF;
  -- Taking a part away locks the whole table for the moment it takes; whoever reads for long is not waited for.
  PERFORM set_config('lock_timeout', '2000', true);
  EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', p_table, v_part);
  IF cardinality(p_keep) > 0 THEN
    EXECUTE format('INSERT INTO %s SELECT * FROM %s WHERE %I = ANY ($1)', p_table, v_part, v_of.id_column) USING p_keep;
    GET DIAGNOSTICS v_kept = ROW_COUNT;
  END IF;
  EXECUTE format('DROP TABLE %s', v_part);
  RETURN v_kept;
END $$;

-- Parts for rows of before: no older than 400 days, the others lie in `_rest`.
CREATE FUNCTION guild_core.make_parts_for(p_table text, p_source text, p_column text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_at  timestamptz;
BEGIN
  FOR v_at IN EXECUTE format($q$SELECT DISTINCT guild_core.part_start(t.width, s.%I) FROM %s s, guild_core.partitioned t
    WHERE t.name = %L AND s.%1$I BETWEEN now() - interval '400 days' AND now()$q$, p_column, p_source, p_table)
  LOOP
    PERFORM guild_core.make_part(p_table, v_at);
  END LOOP;
  PERFORM guild_core.make_parts(p_table, 2, now());
  PERFORM set_config('lock_timeout', '0', true);
END $$;

-- The journal, by the time its run was made, which never changes: all steps of a run lie in one part, and the part is known from the
-- run's row. No foreign key: the statement that writes steps has just changed that row.
ALTER TABLE guild_core.invocations ADD COLUMN made_at timestamptz;
UPDATE guild_core.invocations SET made_at = queued_at;
ALTER TABLE guild_core.invocations ALTER COLUMN made_at SET DEFAULT now(), ALTER COLUMN made_at SET NOT NULL;

ALTER TABLE guild_core.run_steps RENAME TO run_steps_old;
CREATE TABLE guild_core.run_steps (
  invocation_id  text NOT NULL,
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
  -- made_at of the run
  run_at         timestamptz NOT NULL,
  PRIMARY KEY (invocation_id, seq, attempt, run_at)
) PARTITION BY RANGE (run_at);
CREATE TABLE guild_core.run_steps_rest PARTITION OF guild_core.run_steps DEFAULT;
INSERT INTO guild_core.partitioned VALUES ('guild_core.run_steps', 'run_at', 'week', 'invocation_id', false);
SELECT guild_core.make_parts_for('guild_core.run_steps', 'guild_core.invocations', 'made_at');
INSERT INTO guild_core.run_steps
SELECT s.invocation_id, s.seq, s.attempt, s.kind, s.name, s.status, s.lease_epoch, s.request_hash, s.request, s.response, s.usage,
  s.error, s.started_at, s.finished_at, i.made_at
FROM guild_core.run_steps_old s JOIN guild_core.invocations i ON i.id = s.invocation_id;
DROP TABLE guild_core.run_steps_old;

-- The trail, by the time it was written down, which follows the order of the chain: a part is a piece of it without holes. Appending is
-- one at a time under a lock, and there `seq` and `id` are kept unique; `guild audit verify` proves it.
DROP VIEW guild_audit.events, guild_audit.actions, guild_audit.errors;
ALTER TABLE guild_audit.audit_log RENAME TO audit_log_old;
CREATE TABLE guild_audit.audit_log (
  seq              bigint NOT NULL,
  id               text NOT NULL,
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
  hash             text NOT NULL,
  -- never before that of the row with the number before; not part of the hash
  recorded_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (seq, recorded_at)
) PARTITION BY RANGE (recorded_at);
CREATE TABLE guild_audit.audit_log_rest PARTITION OF guild_audit.audit_log DEFAULT;
ALTER INDEX guild_audit.audit_log_time RENAME TO audit_log_old_time;
ALTER INDEX guild_audit.audit_log_source_event RENAME TO audit_log_old_source_event;
ALTER INDEX guild_audit.audit_log_invocation RENAME TO audit_log_old_invocation;
CREATE INDEX audit_log_id ON guild_audit.audit_log (id);
CREATE INDEX audit_log_time ON guild_audit.audit_log (timestamp DESC);
CREATE INDEX audit_log_source_event ON guild_audit.audit_log (source_event_id);
CREATE INDEX audit_log_invocation ON guild_audit.audit_log (invocation_id);
INSERT INTO guild_core.partitioned VALUES ('guild_audit.audit_log', 'recorded_at', 'month', NULL, true);
CREATE TEMPORARY TABLE recorded ON COMMIT DROP AS
SELECT seq, max(timestamp) OVER (ORDER BY seq) AS at FROM guild_audit.audit_log_old;
SELECT guild_core.make_parts_for('guild_audit.audit_log', 'recorded', 'at');
INSERT INTO guild_audit.audit_log
SELECT o.*, r.at FROM guild_audit.audit_log_old o JOIN recorded r ON r.seq = o.seq;
DROP TABLE guild_audit.audit_log_old;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON guild_audit.audit_log
  FOR EACH ROW EXECUTE FUNCTION guild_audit.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON guild_audit.audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION guild_audit.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON guild_audit.audit_log_rest
  FOR EACH STATEMENT EXECUTE FUNCTION guild_audit.refuse_change();
CREATE VIEW guild_audit.events AS SELECT * FROM guild_audit.audit_log WHERE event_type LIKE 'EVENT_%';
CREATE VIEW guild_audit.actions AS SELECT * FROM guild_audit.audit_log WHERE event_type LIKE 'ACTION_%';
CREATE VIEW guild_audit.errors AS SELECT * FROM guild_audit.audit_log WHERE result = 'FAILURE';

-- What retention has dropped of the chain: its end, from which `guild audit verify` starts. The row AUDIT_RANGE_DROPPED of the chain
-- itself says the same, so that an anchor nobody has recorded is found.
CREATE TABLE guild_audit.audit_anchors (
  seq         bigint PRIMARY KEY,
  hash        text NOT NULL,
  from_seq    bigint NOT NULL,
  rows        bigint NOT NULL,
  from_at     timestamptz NOT NULL,
  to_at       timestamptz NOT NULL,
  dropped_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER audit_anchors_append_only BEFORE UPDATE OR DELETE ON guild_audit.audit_anchors
  FOR EACH ROW EXECUTE FUNCTION guild_audit.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON guild_audit.audit_anchors
  FOR EACH STATEMENT EXECUTE FUNCTION guild_audit.refuse_change();
