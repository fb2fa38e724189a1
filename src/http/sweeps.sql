-- name: sweeps
SELECT name, every_ms, extract(epoch FROM ok_at)::float8 AS ok_at, runs, failures, swept, error,
  (extract(epoch FROM now() - coalesce(ok_at, failed_at)) * 1000)::float8 AS since_ms
FROM guild_core.sweeps ORDER BY name;

-- name: partitions
-- From the catalogue alone.
SELECT parent AS name, count(*) FILTER (WHERE from_at IS NOT NULL) AS parts,
  greatest(0, extract(epoch FROM max(to_at) - now()))::float8 AS ahead_s, coalesce(bool_or(from_at > now()), false) AS next,
  coalesce(max(rows) FILTER (WHERE from_at IS NULL), 0) AS rest
FROM guild_core.parts GROUP BY parent ORDER BY parent;

-- name: overdue
-- For how long the oldest row of each kind is overdue, in seconds; each by the first entry of an index.
SELECT due.kind, greatest(0, extract(epoch FROM now() - due.at))::float8 AS seconds
FROM (
  SELECT 'run lease' AS kind, (SELECT min(lease_until) FROM guild_core.invocations WHERE state = 'RUNNING' AND lease_until < now()) AS at
  UNION ALL
  SELECT 'action', (SELECT next_at FROM guild_core.actions
    WHERE state IN ('HELD', 'READY', 'EXECUTING', 'RETRY', 'AMBIGUOUS', 'PROBING') AND next_at < now() ORDER BY next_at LIMIT 1)
  UNION ALL
  SELECT 'approval', (SELECT expires_at FROM guild_core.approvals WHERE state = 'PENDING' AND expires_at < now() ORDER BY expires_at LIMIT 1)
  UNION ALL
  SELECT 'reservation', (SELECT expires_at FROM guild_ledger.reservations
    WHERE state = 'OPEN' AND expires_at < now() ORDER BY expires_at LIMIT 1)
  UNION ALL
  SELECT 'outbox', (SELECT created_at FROM guild_core.outbox ORDER BY id LIMIT 1)
) due;
