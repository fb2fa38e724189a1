-- Planned once: planning anew for each array of acknowledgements, always to the same plan, took longer than carrying it out.
ALTER FUNCTION guild_bus.settle(integer, bigint[], bigint[], jsonb, boolean, timestamptz) SET plan_cache_mode = force_generic_plan;
