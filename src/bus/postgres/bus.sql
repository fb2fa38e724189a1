-- name: publish
-- $1 topics · $2 ids · $3 keys · $4 lanes · $5 not before · $6 bodies, parted by U+001E · $7 now · $8 wake within the transaction
SELECT guild_bus.publish_many($1::text[], $2::text[], $3::text[], $4::smallint[], $5::timestamptz[], $6::text, $7::timestamptz, $8::boolean)
  AS groups

-- name: wake
-- $2: who tells, in letters, which need not listen to itself
SELECT pg_notify('guild_bus', CASE WHEN cardinality($1::integer[]) > 500 THEN '' ELSE $2::text || array_to_string($1::integer[], ',') END)

-- name: ensureGroup
SELECT guild_bus.ensure_group($1, $2, $3, $4::timestamptz) AS id

-- name: claim
SELECT "position", claim, held, id, topic, key, lane, body, published_at AS "publishedAt", attempt, next_due_ms AS "nextDueMs"
FROM guild_bus.take($1::integer, $2::integer, $3::integer, $4::timestamptz)

-- name: extend
-- By the primary key, also when the planner takes the table for empty (0025_settle_by_key.sql).
-- $2 claims that are one row · $3 and $4 those that are a row a message
WITH kept AS (
  UPDATE guild_bus.held h SET due_at = guild_bus.time($6::timestamptz) + $5::integer * interval '1 ms'
  WHERE h.group_id = $1::integer AND h.claim = ANY ($2::bigint[])
  RETURNING h.messages
), kept_in_row AS (
  UPDATE guild_bus.deliveries d SET due_at = guild_bus.time($6::timestamptz) + $5::integer * interval '1 ms'
  FROM unnest($3::bigint[], $4::bigint[]) AS claimed (message, claim)
  WHERE d.message = ANY ($3::bigint[]) AND d.message = claimed.message AND d.group_id = $1::integer AND d.claim = claimed.claim
  RETURNING d.message
)
SELECT unnest(messages) AS "position" FROM kept UNION ALL SELECT message FROM kept_in_row

-- name: settle
SELECT settled, ready
FROM guild_bus.settle_claims($1::integer, $2::bigint[], $3::bigint[], $4::bigint[], $5::jsonb, $6::bigint[], $7::bigint[], $8::jsonb,
                             $9::boolean, $10::timestamptz)

-- name: settleAndClaim
SELECT settled, ready, "position", claim, held, id, topic, key, lane, body, published_at AS "publishedAt", attempt,
  next_due_ms AS "nextDueMs"
FROM guild_bus.settle_and_take($1::integer, $2::bigint[], $3::bigint[], $4::bigint[], $5::jsonb, $6::bigint[], $7::bigint[], $8::jsonb,
                               $9::integer, $10::integer, $11::timestamptz)

-- name: due
SELECT g.id FROM unnest($1::integer[]) AS g (id)
WHERE EXISTS (SELECT 1 FROM guild_bus.deliveries d WHERE d.group_id = g.id AND d.state = 'ready')
   OR EXISTS (SELECT 1 FROM guild_bus.deliveries d
              WHERE d.group_id = g.id AND d.state IN ('delayed', 'claimed') AND d.due_at <= guild_bus.time($2::timestamptz))
   OR EXISTS (SELECT 1 FROM guild_bus.held h WHERE h.group_id = g.id AND h.due_at <= guild_bus.time($2::timestamptz))

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
SELECT g.topic, g.name AS "group", least($2::integer, ready.count + blocked.count + due.count + held.lapsed) AS ready,
  claimed.count + held.count AS "inFlight", delayed.count AS delayed,
  greatest(0, coalesce((SELECT (extract(epoch FROM now) * 1000)::bigint FROM at) - least(ready.since, due.since, lapsed.since), 0))
    AS "oldestReadyMs"
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
CROSS JOIN LATERAL (
  SELECT coalesce(sum(cardinality(h.messages)) FILTER (WHERE h.due_at > at.now), 0)::bigint AS count,
    coalesce(sum(cardinality(h.messages)) FILTER (WHERE h.due_at <= at.now), 0)::bigint AS lapsed
  FROM guild_bus.held h WHERE h.group_id = g.id) held
CROSS JOIN LATERAL (
  SELECT min((extract(epoch FROM coalesce(m.not_before, m.published_at)) * 1000)::bigint) AS since
  FROM guild_bus.held h, unnest(h.messages) AS u (message) JOIN guild_bus.messages m ON m.id = u.message
  WHERE h.group_id = g.id AND h.due_at <= at.now) lapsed
ORDER BY g.topic, g.name

-- name: count
SELECT count(*) AS count FROM guild_bus.messages WHERE guild_bus.matches($1, topic)

-- name: trim
SELECT removed, last FROM guild_bus.trim_next($1, $2::timestamptz, $3::bigint, $4::integer)

-- name: vacuum
VACUUM (ANALYZE) guild_bus.messages, guild_bus.deliveries, guild_bus.held

-- name: tidy
VACUUM (SKIP_LOCKED, TRUNCATE false) guild_bus.deliveries, guild_bus.held
