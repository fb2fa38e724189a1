-- name: flushStatistics
SELECT pg_stat_force_next_flush();

-- name: walBytes
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn)::bigint AS bytes FROM pg_control_checkpoint();

-- name: tables
SELECT format('%I.%I', schemaname, relname) AS name, n_live_tup AS live, n_dead_tup AS dead, n_mod_since_analyze AS modified
FROM pg_stat_user_tables
WHERE n_dead_tup > 50 OR n_mod_since_analyze > 50;
