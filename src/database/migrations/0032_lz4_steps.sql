-- What a run has read is the longest thing it writes: pages of text in one step. lz4 takes a tenth of the time (0018_lz4.sql).
DO $$
DECLARE
  v_table   regclass;
  v_column  text;
BEGIN
  FOR v_table IN SELECT 'guild_core.run_steps'::regclass UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = 'guild_core.run_steps'::regclass
  LOOP
    FOREACH v_column IN ARRAY ARRAY['request', 'response'] LOOP
      EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET COMPRESSION lz4', v_table, v_column);
    END LOOP;
  END LOOP;
EXCEPTION WHEN feature_not_supported THEN
  RAISE NOTICE 'this server has no lz4';
END $$;
