-- name: lockPlan
-- Schedulers that see the same new Codex at once take turns; the second finds nothing to change.
SELECT pg_advisory_xact_lock(20775, 5);

-- name: readPlan
SELECT id, cron_expression, timezone, last_run, last_wall, next_run, since FROM guild_core.schedules;

-- name: writePlan
-- $1 schedules of the snapshot · $2 commit · $3 now
WITH given AS (
  SELECT * FROM jsonb_to_recordset($1::jsonb) AS s (
    id text, name text, cron_expression text, timezone text, target_agent text, intent text, person text, chapter text, priority text,
    catch_up_ms bigint, since timestamptz, next_run timestamptz
  )
), gone AS (
  UPDATE guild_core.schedules SET removed_at = $3, next_run = NULL
  WHERE removed_at IS NULL AND id NOT IN (SELECT id FROM given)
)
INSERT INTO guild_core.schedules AS s
  (id, name, cron_expression, timezone, target_agent, intent, person, chapter, priority, catch_up_ms, since, next_run, codex_commit)
SELECT id, name, cron_expression, timezone, target_agent, intent, person, chapter, priority, catch_up_ms, since, next_run, $2 FROM given
ORDER BY id
ON CONFLICT (id) DO UPDATE
  SET name = excluded.name, cron_expression = excluded.cron_expression, timezone = excluded.timezone, intent = excluded.intent,
      chapter = excluded.chapter, priority = excluded.priority, catch_up_ms = excluded.catch_up_ms, since = excluded.since,
      next_run = excluded.next_run, codex_commit = excluded.codex_commit, removed_at = NULL;

-- name: claimDue
-- Whoever locks a row fires it; another scheduler passes it by. The cost follows what is due, not what there is.
SELECT id, cron_expression, timezone, target_agent, intent, person, chapter, priority, catch_up_ms, since, last_wall
FROM guild_core.schedules
WHERE enabled AND next_run <= $1
ORDER BY next_run, id
LIMIT $2
FOR UPDATE SKIP LOCKED;

-- name: writeFired
UPDATE guild_core.schedules s
SET since = f.since, next_run = f.next_run, missed = s.missed + f.missed,
  last_run = coalesce(f.last_run, s.last_run), last_wall = coalesce(f.last_wall, s.last_wall)
FROM jsonb_to_recordset($1::jsonb) AS f (
  id text, since timestamptz, next_run timestamptz, missed integer, last_run timestamptz, last_wall text
)
WHERE s.id = f.id;

-- name: nextDue
SELECT min(next_run) AS next_run FROM guild_core.schedules WHERE enabled;
