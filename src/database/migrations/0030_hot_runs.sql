-- A run's row is written some five times, and each new version wanted an entry in six to nine indexes, because its page was full. With room
-- left in the page a version that changes nothing that is indexed stays there, and the next one clears up after it.
ALTER TABLE guild_core.invocations SET (fillfactor = 70);

-- The id of a reservation is a hash of run, step and attempt: one index says that there is one. Each reservation is written twice.
ALTER TABLE guild_ledger.reservations DROP CONSTRAINT reservations_invocation_id_step_seq_attempt_key;
