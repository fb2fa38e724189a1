-- name: messages
-- What publish would have written: a log entry each, one half of them delayed by a day, the other ready in the last lane.
INSERT INTO guild_bus.messages (topic, message_id, lane, body, published_at, not_before)
SELECT 'bench', 'old' || n, 4, json_build_object('text', repeat('x', 200)), clock_timestamp(),
  CASE WHEN n % 2 = 0 THEN clock_timestamp() + interval '1 day' END
FROM generate_series(1, $1::integer) AS n;

-- name: deliveries
INSERT INTO guild_bus.deliveries (message, group_id, rank, lane, state, due_at)
SELECT m.id, g.id, guild_bus.rank(m.lane, greatest(clock_timestamp(), m.not_before)), m.lane,
  CASE WHEN m.not_before IS NULL THEN 'ready' ELSE 'delayed' END, m.not_before
FROM guild_bus.messages m, guild_bus.groups g
WHERE g.topic = 'bench' AND m.topic = 'bench' AND m.id > $1::bigint AND m.id <= $2::bigint;

-- name: renew
-- Nothing of the backlog has grown so old that it goes before what is measured.
UPDATE guild_bus.deliveries SET rank = rank + 3600000 WHERE state = 'ready';
