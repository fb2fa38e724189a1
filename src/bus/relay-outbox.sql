-- name: add
WITH added AS (
  INSERT INTO guild_core.outbox (topic, message)
  SELECT r.value ->> 'topic', r.value -> 'message' FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS r (value, place) ORDER BY place
  RETURNING id
)
SELECT pg_notify('guild_outbox', '') FROM (SELECT count(*) FROM added) AS once

-- name: claim
SELECT id, topic, message FROM guild_bus.claim_outbox($1::integer, $2::integer)

-- name: release
UPDATE guild_core.outbox SET claimed_until = NULL WHERE id = ANY ($1::bigint[])

-- name: remove
DELETE FROM guild_core.outbox WHERE id = ANY ($1::bigint[])
