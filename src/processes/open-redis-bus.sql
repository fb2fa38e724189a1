-- name: sendAgain
-- The pauses between reminders were made for messages that wait somewhere; these are gone. The sweeper looks every 5 s.
UPDATE guild_core.invocations SET republished_at = NULL, republished = 0
WHERE finished_at IS NULL AND held_at IS NULL AND republished_at IS NOT NULL
