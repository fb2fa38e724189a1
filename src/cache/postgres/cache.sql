-- name: take
SELECT allowed, wait_ms AS "waitMs", remaining, retry_ms AS "retryAfterMs", reset_ms AS "resetMs", bound_by AS "boundBy"
FROM guild_cache.take($1::jsonb, $2);

-- name: peek
WITH now AS (SELECT guild_cache.ms(coalesce($2::timestamptz, clock_timestamp())) AS ms)
SELECT greatest(0, floor((now.ms - t.tat) / w.unit + w.burst + 0.000001)) AS remaining, t.tat - now.ms AS "resetMs"
FROM now, jsonb_array_elements($1::jsonb) WITH ORDINALITY AS e (item, nth),
  LATERAL (SELECT (item ->> 'unit')::double precision AS unit, (item ->> 'burst')::double precision AS burst) w,
  LATERAL (SELECT greatest(now.ms, coalesce((SELECT l.tat FROM guild_cache.limits l WHERE l.key = item ->> 'key'), 0)) AS tat) t
ORDER BY nth;

-- name: get
SELECT value FROM guild_cache.entries WHERE key = $1 AND expires_at > coalesce($2, clock_timestamp());

-- name: set
INSERT INTO guild_cache.entries AS e (key, value, expires_at)
VALUES ($1, $2, coalesce($5::timestamptz, clock_timestamp()) + $3::double precision * interval '1 ms')
ON CONFLICT (key) DO UPDATE SET value = excluded.value, fields = NULL, expires_at = excluded.expires_at
WHERE NOT $4::boolean OR e.expires_at <= coalesce($5::timestamptz, clock_timestamp());

-- name: extend
UPDATE guild_cache.entries SET expires_at = coalesce($4::timestamptz, clock_timestamp()) + $3::double precision * interval '1 ms'
WHERE key = $1 AND value = $2 AND expires_at > coalesce($4::timestamptz, clock_timestamp());

-- name: delete
-- What has expired goes as well, and is not counted: it was not there any more.
WITH gone AS (
  DELETE FROM guild_cache.entries WHERE key = $1 AND ($2::text IS NULL OR value = $2) RETURNING expires_at
)
SELECT 1 FROM gone WHERE expires_at > coalesce($3::timestamptz, clock_timestamp());

-- name: putHash
-- $2 fields to set · $3 names to remove · $5 fields at most · $6 bytes at most
INSERT INTO guild_cache.entries AS e (key, fields, expires_at)
VALUES ($1, $2::jsonb, coalesce($7::timestamptz, clock_timestamp()) + $4::double precision * interval '1 ms')
ON CONFLICT (key) DO UPDATE SET value = NULL, expires_at = excluded.expires_at,
  fields = CASE WHEN e.fields IS NULL OR e.expires_at <= coalesce($7::timestamptz, clock_timestamp()) THEN excluded.fields
    ELSE (e.fields || excluded.fields) - $3::text[] END
WHERE e.fields IS NULL OR e.expires_at <= coalesce($7::timestamptz, clock_timestamp()) OR (
  SELECT count(*) <= $5::integer AND coalesce(sum(octet_length(f.key) + octet_length(f.value)), 0) <= $6::integer
  FROM jsonb_each_text((e.fields || excluded.fields) - $3::text[]) f);

-- name: hashes
SELECT e.key, e.fields FROM guild_cache.entries e
WHERE e.key = ANY($1::text[]) AND e.fields <> '{}' AND e.expires_at > coalesce($2::timestamptz, clock_timestamp());

-- name: counterOpen
SELECT kind, count, except_ids AS "except" FROM guild_cache.counter_open($1, $2, $3, $4, $5, $6, $7);

-- name: counterFill
SELECT guild_cache.counter_fill($1, $2, $3, $4, $5) AS filled;

-- name: counterSettle
SELECT guild_cache.counter_settle($1, $2, $3, $4) AS count;

-- name: sweep
-- By the index on expires_at, and never waiting for a row that is in use: the next sweep has it.
WITH limits AS (
  DELETE FROM guild_cache.limits WHERE key IN (
    SELECT key FROM guild_cache.limits WHERE expires_at <= coalesce($2::timestamptz, clock_timestamp()) LIMIT $1 FOR UPDATE SKIP LOCKED)
  RETURNING 1
), entries AS (
  DELETE FROM guild_cache.entries WHERE key IN (
    SELECT key FROM guild_cache.entries WHERE expires_at <= coalesce($2::timestamptz, clock_timestamp()) LIMIT $1 FOR UPDATE SKIP LOCKED)
  RETURNING 1
), counters AS (
  DELETE FROM guild_cache.counters WHERE key IN (
    SELECT key FROM guild_cache.counters WHERE expires_at <= coalesce($2::timestamptz, clock_timestamp()) LIMIT $1 FOR UPDATE SKIP LOCKED)
  RETURNING 1
)
SELECT (SELECT count(*) FROM limits) + (SELECT count(*) FROM entries) + (SELECT count(*) FROM counters) AS count;

-- name: vacuum
VACUUM guild_cache.limits, guild_cache.entries, guild_cache.counters;
