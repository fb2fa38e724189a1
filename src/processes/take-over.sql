-- name: lapseRuns
UPDATE guild_core.invocations SET lease_until = now() - interval '1 millisecond' WHERE lease_until > now();

-- name: lapseActions
UPDATE guild_core.actions SET lease_until = now() - interval '1 millisecond' WHERE lease_until > now();

-- name: lapseClaims
UPDATE guild_bus.deliveries SET due_at = now() - interval '1 millisecond' WHERE state = 'claimed' AND due_at > now();
