-- name: unfinished
SELECT (SELECT count(*) FROM guild_core.invocations WHERE state IN ('QUEUED', 'ADMITTED', 'RUNNING', 'WAITING_RATE', 'WAITING_ACTION'))
     + (SELECT count(*) FROM guild_core.actions WHERE state IN ('APPROVED', 'READY', 'EXECUTING', 'RETRY', 'AMBIGUOUS', 'PROBING')) AS count,
       (SELECT count(*) FROM guild_core.receipts) AS received;
