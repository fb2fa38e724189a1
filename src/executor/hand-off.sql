-- name: resting
-- Does the agent $1 rest because its runs keep failing?
SELECT retry_at FROM guild_core.agent_breakers WHERE agent_id = $1 AND until > now() AND retry_at > now();
