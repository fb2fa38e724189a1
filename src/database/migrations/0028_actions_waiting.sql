-- With those that wait for a person: all that is open is now in one of two indexes, and counted by them (0027_tallies.sql). Queries of
-- this one name fewer states.
DROP INDEX guild_core.actions_expiring;
CREATE INDEX actions_expiring ON guild_core.actions (expires_at)
  WHERE state IN ('PROPOSED', 'HELD', 'APPROVED', 'READY', 'RETRY', 'PARKED');
