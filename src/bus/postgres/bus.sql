-- name: publish
-- $1 topics · $2 ids · $3 keys · $4 lanes · $5 not before · $6 bodies, parted by U+001E · $7 now · $8 wake within the transaction
SELECT guild_bus.publish_many($1::text[], $2::text[], $3::text[], $4::smallint[], $5::timestamptz[], $6::text, $7::timestamptz, $8::boolean)
  AS groups

-- name: wake
SELECT guild_bus.wake($1::integer[])

-- name: ensureGroup
SELECT guild_bus.ensure_group($1, $2, $3, $4::timestamptz) AS id

-- name: claim
SELECT "position", claim, id, topic, key, lane, body, published_at AS "publishedAt", attempt, next_due_ms AS "nextDueMs"
FROM guild_bus.claim($1::integer, $2::integer, $3::integer, $4::timestamptz)

-- name: extend
-- By the primary key, also when the planner takes the table for empty (0025_settle_by_key.sql).
UPDATE guild_bus.deliveries d SET due_at = guild_bus.time($5::timestamptz) + $4::integer * interval '1 ms'
FROM unnest($2::bigint[], $3::bigint[]) AS held (message, claim)
WHERE d.message = ANY ($2::bigint[]) AND d.message = held.message AND d.group_id = $1::integer AND d.claim = held.claim
RETURNING d.message AS "position"

-- name: settle
SELECT settled, ready FROM guild_bus.settle($1::integer, $2::bigint[], $3::bigint[], $4::jsonb, $5::boolean, $6::timestamptz)

-- name: due
SELECT g.id FROM unnest($1::integer[]) AS g (id)
WHERE EXISTS (SELECT 1 FROM guild_bus.deliveries d WHERE d.group_id = g.id AND d.state = 'ready')
   OR EXISTS (SELECT 1 FROM guild_bus.deliveries d
              WHERE d.group_id = g.id AND d.state IN ('delayed', 'claimed') AND d.due_at <= guild_bus.time($2::timestamptz))

-- name: peek
SELECT id AS "position", message_id AS id, topic, key, lane, body::text AS body, published_at AS "publishedAt"
FROM guild_bus.messages
WHERE guild_bus.matches($1, topic) AND id < coalesce($2::bigint, 9223372036854775807)
ORDER BY messages.id DESC LIMIT $3::integer

-- name: replay
SELECT guild_bus.replay($1, $2, $3::timestamptz, $4::timestamptz, $5::timestamptz) AS count

-- name: lag
-- Bounded: of a backlog of a million $2 are counted, in the order in which they go, by their index.
WITH at AS MATERIALIZED (SELECT guild_bus.time($1::timestamptz) AS now)
SELECT g.topic, g.name AS "group", least($2::integer, ready.count + blocked.count + due.count) AS ready,
  claimed.count AS "inFlight", delayed.count AS delayed,
  greatest(0, coalesce((SELECT (extract(epoch FROM now) * 1000)::bigint FROM at) - least(ready.since, due.since), 0)) AS "oldestReadyMs"
FROM guild_bus.groups g, at
CROSS JOIN LATERAL (
  SELECT count(*) AS count, min(d.since) AS since FROM (
    SELECT d.rank - d.lane * 30000 AS since FROM guild_bus.deliveries d
    WHERE d.group_id = g.id AND d.state = 'ready' ORDER BY d.rank, d.message LIMIT $2) d) ready
CROSS JOIN LATERAL (
  SELECT count(*) AS count FROM (
    SELECT 1 FROM guild_bus.deliveries d WHERE d.group_id = g.id AND d.state = 'blocked' LIMIT $2) d) blocked
CROSS JOIN LATERAL (
  SELECT count(*) AS count, min(d.since) AS since FROM (
    SELECT d.rank - d.lane * 30000 AS since FROM guild_bus.deliveries d
    WHERE d.group_id = g.id AND d.state IN ('delayed', 'claimed') AND d.due_at <= at.now ORDER BY d.due_at LIMIT $2) d) due
CROSS JOIN LATERAL (
  SELECT count(*) AS count FROM (
    SELECT 1 FROM guild_bus.deliveries d
    WHERE d.group_id = g.id AND d.state IN ('delayed', 'claimed') AND d.state = 'claimed' AND d.due_at > at.now LIMIT $2) d) claimed
CROSS JOIN LATERAL (
  SELECT count(*) AS count FROM (
    SELECT 1 FROM guild_bus.deliveries d
    WHERE d.group_id = g.id AND d.state IN ('delayed', 'claimed') AND d.state = 'delayed' AND d.due_at > at.now LIMIT $2) d) delayed
ORDER BY g.topic, g.name

-- name: count
SELECT count(*) AS count FROM guild_bus.messages WHERE guild_bus.matches($1, topic)

-- name: trim
SELECT removed, last FROM guild_bus.trim_next($1, $2::timestamptz, $3::bigint, $4::integer)

-- name: vacuum
VACUUM (ANALYZE) guild_bus.messages, guild_bus.deliveries

-- name: tidy
VACUUM (SKIP_LOCKED, TRUNCATE false) guild_bus.deliveries
