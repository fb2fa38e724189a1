-- name: unfinishedActions
SELECT count(*) AS count FROM guild_core.actions WHERE state IN ('APPROVED', 'READY', 'EXECUTING', 'PROBING');
