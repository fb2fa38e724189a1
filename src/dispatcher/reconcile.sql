-- name: reconcile
-- Counted from two sides: receptions on one, what became of events (and of repetitions and unreadable messages) on the other.
SELECT 'RECEIVED' AS kind, count(*) AS count FROM guild_core.receipts
UNION ALL
SELECT disposition, count(*) FROM guild_core.events GROUP BY disposition
UNION ALL
SELECT disposition, count(*) FROM guild_core.receipts WHERE disposition IN ('DUPLICATE', 'DEAD') GROUP BY disposition;
