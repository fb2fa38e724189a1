-- name: pause
INSERT INTO guild_core.breakers AS b (name, state, next_at, last_error) VALUES ($1, 'CLOSED', $2, $3)
ON CONFLICT (name) DO UPDATE SET next_at = greatest(coalesce(b.next_at, $2), $2), last_error = $3;

-- name: startTrial
UPDATE guild_core.breakers SET state = 'HALF_OPEN', retry_at = $3, updated_at = $2
WHERE name = $1 AND state <> 'CLOSED' AND (retry_at IS NULL OR retry_at <= $2);

-- name: lockBreaker
SELECT state, failures, since, openings, retry_at FROM guild_core.breakers WHERE name = $1 FOR UPDATE;

-- name: storeBreaker
INSERT INTO guild_core.breakers AS b (name, state, failures, since, openings, retry_at, opened_at, last_error, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (name) DO UPDATE SET state = $2, failures = $3, since = $4, openings = $5, retry_at = $6,
  opened_at = coalesce($7, b.opened_at), last_error = coalesce($8, b.last_error), updated_at = $9;
