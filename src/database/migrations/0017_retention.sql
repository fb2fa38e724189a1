-- As before (0013_partitions.sql), reading `_rest` to its end before a part is made of it: while it is read it cannot be altered.
CREATE OR REPLACE FUNCTION guild_core.make_parts(p_table text, p_ahead integer, p_from timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_of    guild_core.partitioned;
  v_at    timestamptz;
  v_rest  timestamptz[];
  v_made  integer := 0;
BEGIN
  SELECT * INTO STRICT v_of FROM guild_core.partitioned t WHERE t.name = p_table;
  v_at := guild_core.part_start(v_of.width, now());
  FOR i IN 0..p_ahead LOOP
    IF guild_core.make_part(p_table, v_at) THEN v_made := v_made + 1; END IF;
    v_at := guild_core.part_end(v_of.width, v_at);
  END LOOP;
  EXECUTE format('SELECT ARRAY(SELECT DISTINCT guild_core.part_start(%L, r.%I) FROM %s_rest r WHERE r.%2$I >= $1 ORDER BY 1 DESC LIMIT 10)',
    v_of.width, v_of.time_column, p_table) INTO v_rest USING p_from;
  FOREACH v_at IN ARRAY v_rest LOOP
    IF guild_core.make_part(p_table, v_at) THEN v_made := v_made + 1; END IF;
  END LOOP;
  RETURN v_made;
END $$;

-- Transcripts are removed by the time their run ended; a run without one is not looked at.
CREATE INDEX invocations_transcripts ON guild_core.invocations (finished_at) WHERE transcript_ref IS NOT NULL;
CREATE INDEX action_meanings_until ON guild_core.action_meanings (until);

-- Lag counts what is blocked without reading what is not.
CREATE INDEX deliveries_blocked ON guild_bus.deliveries (group_id) WHERE state = 'blocked';

-- Looks at the next p_max messages of the log and removes of them what is old and with everybody. To be called with the last id until
-- it is null, so that a trim costs as much as it looks at once, whatever lies in the log.
CREATE FUNCTION guild_bus.trim_next(p_topic text, p_older_than timestamptz, p_after bigint, p_max integer)
RETURNS TABLE (removed integer, last bigint) LANGUAGE plpgsql AS $$
DECLARE
  v_ids    bigint[];
  v_young  boolean;
BEGIN
  PERFORM pg_advisory_xact_lock(20774, 0);
  SELECT array_agg(n.id ORDER BY n.id), bool_or(n.published_at >= p_older_than) INTO v_ids, v_young
  FROM (SELECT m.id, m.published_at FROM guild_bus.messages m WHERE m.id > p_after ORDER BY m.id LIMIT p_max) n;
  DELETE FROM guild_bus.messages m
  WHERE m.id = ANY (v_ids) AND guild_bus.matches(p_topic, m.topic) AND m.published_at < p_older_than
    AND NOT EXISTS (SELECT 1 FROM guild_bus.deliveries d WHERE d.message = m.id);
  GET DIAGNOSTICS removed = ROW_COUNT;
  last := CASE WHEN NOT v_young AND cardinality(v_ids) = p_max THEN v_ids[p_max] END;
  RETURN NEXT;
END $$;
DROP FUNCTION guild_bus.trim;
