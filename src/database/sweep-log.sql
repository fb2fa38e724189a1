-- name: note
-- $1 [{name, every_ms, ok, failed, error, runs, failures, swept}]; times are the database's.
INSERT INTO guild_core.sweeps AS s (name, every_ms, ok_at, failed_at, error, runs, failures, swept)
SELECT n.name, n.every_ms, CASE WHEN n.ok THEN now() END, CASE WHEN n.failed THEN now() END, n.error, n.runs, n.failures, n.swept
FROM jsonb_to_recordset($1::jsonb) AS n (
  name text, every_ms bigint, ok boolean, failed boolean, error text, runs bigint, failures bigint, swept jsonb
)
ORDER BY n.name
ON CONFLICT (name) DO UPDATE SET
  every_ms = excluded.every_ms, ok_at = coalesce(excluded.ok_at, s.ok_at), failed_at = coalesce(excluded.failed_at, s.failed_at),
  error = CASE WHEN excluded.failed_at IS NOT NULL THEN excluded.error WHEN excluded.ok_at IS NOT NULL THEN NULL ELSE s.error END,
  runs = s.runs + excluded.runs, failures = s.failures + excluded.failures,
  swept = (
    SELECT coalesce(jsonb_object_agg(t.key, t.total), '{}')
    FROM (
      SELECT e.key, sum(e.value::bigint) AS total
      FROM (SELECT * FROM jsonb_each_text(s.swept) UNION ALL SELECT * FROM jsonb_each_text(excluded.swept)) e
      GROUP BY e.key
    ) t
  );
