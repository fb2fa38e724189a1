-- name: reconcile
-- Counted from two sides: receptions on one, what became of events (and of repetitions and unreadable messages) on the other.
WITH kept AS (
  -- What was received before is going by retention, where one side may be ahead of the other.
  SELECT coalesce((SELECT border FROM guild_core.retention WHERE name = 'events'), '-infinity') AS since
)
SELECT 'RECEIVED' AS kind, count(*) AS count FROM guild_core.receipts WHERE received_at >= (SELECT since FROM kept)
UNION ALL
SELECT disposition, count(*) FROM guild_core.events WHERE received_at >= (SELECT since FROM kept) GROUP BY disposition
UNION ALL
SELECT disposition, count(*) FROM guild_core.receipts
WHERE disposition IN ('DUPLICATE', 'DEAD') AND received_at >= (SELECT since FROM kept) GROUP BY disposition;
