-- name: add
SELECT guild_core.add_tallies();

-- name: read
-- What is over from the tallies and what was decided since, what is open by the indexes of what is open; in one snapshot.
SELECT kind, label, sum(count)::bigint AS count
FROM (
  SELECT t.kind, t.label, t.count FROM guild_core.tallies t
  UNION ALL
  SELECT c.kind, c.label, c.change FROM guild_core.tally_mark m CROSS JOIN LATERAL guild_core.tally_changes(m.added, 9223372036854775807) c
  UNION ALL
  SELECT 'run', state, count(*) FROM guild_core.invocations
  WHERE state IN ('QUEUED', 'ADMITTED', 'RUNNING', 'WAITING_RATE', 'WAITING_ACTION', 'WAITING_APPROVAL', 'WAITING_INPUT') GROUP BY state
  UNION ALL
  SELECT 'action', state, count(*) FROM guild_core.actions
  WHERE state IN ('HELD', 'READY', 'EXECUTING', 'RETRY', 'AMBIGUOUS', 'PROBING') GROUP BY state
  UNION ALL
  SELECT 'action', state, count(*) FROM guild_core.actions WHERE state IN ('PROPOSED', 'APPROVED', 'PARKED') GROUP BY state
) counted
GROUP BY kind, label
HAVING sum(count) <> 0
ORDER BY kind, label;

-- name: compare
-- Every row read, for `guild doctor`: what is over and remembered otherwise.
WITH remembered AS (
  SELECT kind, label, sum(count)::bigint AS count FROM (
    SELECT t.kind, t.label, t.count FROM guild_core.tallies t
    UNION ALL
    SELECT c.kind, c.label, c.change FROM guild_core.tally_mark m CROSS JOIN LATERAL guild_core.tally_changes(m.added, 9223372036854775807) c
  ) kept GROUP BY kind, label
), counted AS (
  SELECT 'disposition' AS kind, disposition AS label, count(*) AS count FROM guild_core.receipts GROUP BY disposition
  UNION ALL
  SELECT 'run', state, count(*) FROM guild_core.invocations WHERE state IN ('COMPLETED', 'STOPPED', 'FAILED', 'DEAD') GROUP BY state
  UNION ALL
  SELECT 'action', state, count(*) FROM guild_core.actions
  WHERE state IN ('SUCCEEDED', 'SHADOWED', 'FAILED', 'EXPIRED', 'DENIED', 'UNDONE') GROUP BY state
)
SELECT kind, label, coalesce(remembered.count, 0) AS remembered, coalesce(counted.count, 0) AS counted
FROM remembered FULL JOIN counted USING (kind, label)
WHERE coalesce(remembered.count, 0) <> coalesce(counted.count, 0)
ORDER BY kind, label;
