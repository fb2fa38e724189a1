-- ANALYZE sorts a sample of each column, and sorting jsonb takes it more time than all else it does for an event. No plan asks for what it
-- learns: nothing is found by the whole of a jsonb value.
CREATE FUNCTION guild_core.without_json_statistics(p_table regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_column  name;
BEGIN
  FOR v_column IN
    SELECT a.attname FROM pg_attribute a
    WHERE a.attrelid = p_table AND a.atttypid = 'jsonb'::regtype AND NOT a.attisdropped
  LOOP
    EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', p_table, v_column);
  END LOOP;
END $$;

SELECT guild_core.without_json_statistics(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('guild_core', 'guild_bus', 'guild_audit', 'guild_ledger', 'guild_cache')
  AND (c.relkind = 'p' OR (c.relkind = 'r' AND NOT c.relispartition));

-- As before (0013_partitions.sql); a part does not take it from the whole.
CREATE OR REPLACE FUNCTION guild_core.make_part(p_table text, p_at timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
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
  PERFORM guild_core.without_json_statistics(v_part);
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
