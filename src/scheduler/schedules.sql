-- name: listSchedules
SELECT id, name, cron_expression, timezone, target_agent, intent, person, chapter, priority, enabled, last_run, next_run, missed, codex_commit
FROM guild_core.schedules
WHERE removed_at IS NULL AND ($1::text IS NULL OR id = $1) AND ($2::text IS NULL OR target_agent = $2)
ORDER BY enabled DESC, next_run NULLS LAST, id
LIMIT 1000;

-- name: pauseSchedule
-- A schedule that goes on again does not make up for what it slept through.
UPDATE guild_core.schedules SET enabled = $2, since = $3, next_run = $4 WHERE id = $1 AND removed_at IS NULL AND enabled <> $2 RETURNING id;
