-- name: eventFacts
SELECT id, type, source, payload, metadata, occurred_at FROM guild_core.events WHERE id = $1;
