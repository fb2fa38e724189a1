-- name: runsByState
SELECT state AS label, count(*) AS count FROM guild_core.invocations GROUP BY state;

-- name: actionsByState
SELECT state AS label, count(*) AS count FROM guild_core.actions GROUP BY state;

-- name: receiptsByDisposition
SELECT disposition AS label, count(*) AS count FROM guild_core.receipts GROUP BY disposition;

-- name: deskWaiting
SELECT 'approval' AS label, count(*) AS count FROM guild_core.approvals WHERE state = 'PENDING'
UNION ALL
SELECT 'parked', count(*) FROM guild_core.actions WHERE state = 'PARKED';

-- name: breakersOpen
SELECT state AS label, count(*) AS count FROM guild_core.breakers GROUP BY state;
