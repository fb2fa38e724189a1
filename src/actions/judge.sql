-- name: eventFacts
SELECT id, type, source, payload, metadata, occurred_at FROM guild_core.events
WHERE id = $1 AND received_at = (SELECT k.received_at FROM guild_core.event_keys k WHERE k.id = $1);
