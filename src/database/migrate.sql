-- name: lockMigrations
SELECT pg_advisory_xact_lock(7031980001);

-- name: createTable
CREATE SCHEMA IF NOT EXISTS guild_core;
CREATE TABLE IF NOT EXISTS guild_core.schema_migrations (
  version     integer PRIMARY KEY,
  file        text NOT NULL,
  sha256      text NOT NULL,
  applied_at  timestamptz NOT NULL DEFAULT now()
);

-- name: applied
SELECT version, sha256 FROM guild_core.schema_migrations ORDER BY version;

-- name: record
INSERT INTO guild_core.schema_migrations (version, file, sha256) VALUES ($1, $2, $3);
