-- name: troubled
-- Only rows that say something: a provider that works has none, or a closed one.
SELECT name, state, failures, since, openings, retry_at, next_at, last_error FROM guild_core.breakers
WHERE name LIKE $1 || ':%' AND (state <> 'CLOSED' OR failures > 0 OR next_at > $2);

-- name: startTrial
UPDATE guild_core.breakers SET state = 'HALF_OPEN', retry_at = $3, updated_at = $2
WHERE name = $1 AND state <> 'CLOSED' AND (retry_at IS NULL OR retry_at <= $2);

-- name: endTrial
UPDATE guild_core.breakers SET state = 'OPEN', retry_at = $2, updated_at = $2 WHERE name = $1 AND state = 'HALF_OPEN';

-- name: pause
INSERT INTO guild_core.breakers AS b (name, state, next_at, last_error, updated_at) VALUES ($1, 'CLOSED', $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET next_at = greatest(coalesce(b.next_at, $2), $2), last_error = $3, updated_at = $4;

-- name: lockBreaker
-- Made first where there is none, so that two failures at once are counted as two.
INSERT INTO guild_core.breakers AS b (name, state) VALUES ($1, 'CLOSED') ON CONFLICT (name) DO UPDATE SET name = b.name
RETURNING state, failures, since, openings, retry_at;

-- name: storeBreaker
UPDATE guild_core.breakers SET state = $2::text, failures = $3, since = $4, openings = $5, retry_at = $6,
  opened_at = CASE WHEN $2::text = 'OPEN' THEN $8 ELSE opened_at END, last_error = coalesce($7, last_error), updated_at = $8
WHERE name = $1;
