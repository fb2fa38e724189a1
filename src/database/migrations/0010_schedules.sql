-- Schedules come from manifests (cron triggers), one row each, or one per person. Ids are text, as everywhere (decision 0002).
ALTER TABLE guild_core.schedules ALTER COLUMN id TYPE text;
ALTER TABLE guild_core.schedules
  ADD COLUMN person        varchar(100),
  ADD COLUMN chapter       varchar(100),
  ADD COLUMN priority      varchar(20) NOT NULL DEFAULT 'NORMAL',
  ADD COLUMN catch_up_ms   bigint NOT NULL DEFAULT 14400000,
  -- slots up to here have been looked at; wall time of the last that fired
  ADD COLUMN since         timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN last_wall     varchar(16),
  ADD COLUMN missed        integer NOT NULL DEFAULT 0,
  ADD COLUMN codex_commit  text,
  ADD COLUMN removed_at    timestamptz;
CREATE INDEX schedules_due ON guild_core.schedules (next_run) WHERE enabled AND next_run IS NOT NULL;
