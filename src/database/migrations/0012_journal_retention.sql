-- runs.md 7: after `retention.journal` of the manifest a run keeps hashes and usage of its steps, and no words. With
-- `retention.transcript: 0` that is so from its end on.
ALTER TABLE guild_core.invocations
  ADD COLUMN journal_until      timestamptz,
  ADD COLUMN journal_forgotten  boolean NOT NULL DEFAULT false;
CREATE INDEX invocations_journal_until ON guild_core.invocations (journal_until) WHERE journal_until IS NOT NULL;
-- Runs of before: the default of the manifest.
UPDATE guild_core.invocations SET journal_until = finished_at + interval '30 days' WHERE finished_at IS NOT NULL;
