-- Not so in the embedded engine, whose tables are small and hardly ever analysed: planned once (0022) a batch took a third longer there.
DO $$
BEGIN
  IF version() ~* 'emscripten|emcc' THEN
    ALTER FUNCTION guild_bus.settle(integer, bigint[], bigint[], jsonb, boolean, timestamptz) RESET plan_cache_mode;
  END IF;
END $$;
