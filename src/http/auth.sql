-- name: insertKey
INSERT INTO guild_core.api_keys (id, name, role, key_hash) VALUES ($1, $2, $3, $4)
ON CONFLICT (key_hash) DO NOTHING
RETURNING id;

-- name: findKey
SELECT id, name, role FROM guild_core.api_keys WHERE key_hash = $1 AND revoked_at IS NULL;

-- name: findKeyById
SELECT id, name, role FROM guild_core.api_keys WHERE id = $1 AND revoked_at IS NULL;

-- name: touchKey
UPDATE guild_core.api_keys SET last_used_at = now() WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute');

-- name: listKeys
SELECT id, name, role, created_at, last_used_at, revoked_at FROM guild_core.api_keys ORDER BY created_at;

-- name: revokeKey
UPDATE guild_core.api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL
RETURNING name, role;

-- name: insertLink
INSERT INTO guild_core.sign_in_links (token_hash, key_id, expires_at) VALUES ($1, $2, $3);

-- name: useLink
UPDATE guild_core.sign_in_links SET used_at = now() WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now()
RETURNING key_id;
