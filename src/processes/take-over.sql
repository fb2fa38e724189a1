-- name: lapseRuns
-- A lease that lapses with its owner counts as a failure of the run, and three of them at one step are poison. When a whole process
-- dies, most of what it had in hand only stood by: in company every third death counts, so that killing a guild kills no run, and a
-- run that kills the guild is found all the same.
UPDATE guild_core.invocations i
SET lease_until = now() - interval '1 millisecond',
    lease_owner = CASE WHEN held.runs = 1 OR i.lease_epoch % 3 = 0 THEN i.lease_owner END
FROM (SELECT id, count(*) OVER () AS runs FROM guild_core.invocations WHERE lease_until > now()) held
WHERE i.id = held.id;

-- name: lapseActions
UPDATE guild_core.actions SET lease_until = now() - interval '1 millisecond' WHERE lease_until > now();

-- name: lapseClaims
WITH in_row AS (
  UPDATE guild_bus.deliveries SET due_at = now() - interval '1 millisecond' WHERE state = 'claimed' AND due_at > now()
)
UPDATE guild_bus.held SET due_at = now() - interval '1 millisecond' WHERE due_at > now();
