-- name: move
-- Every change carries the epoch: a worker that was frozen and wakes up changes nothing.
UPDATE guild_core.actions SET state = m.state, reason = m.reason, next_at = m.next_at, probes = m.probes, updated_at = m.at,
  remote_id = coalesce(m.remote_id, actions.remote_id), remote_url = coalesce(m.remote_url, actions.remote_url),
  remote = coalesce(m.remote, actions.remote), confirmed_by = m.confirmed_by, rendered = coalesce(m.rendered, actions.rendered),
  lease_owner = NULL, lease_until = NULL,
  finished_at = CASE WHEN m.state IN ('SUCCEEDED', 'SHADOWED', 'FAILED', 'EXPIRED', 'DENIED') THEN m.at END
FROM jsonb_to_record($1::jsonb) AS m (id text, epoch integer, from_state text, state text, reason text, next_at timestamptz,
  probes integer, at timestamptz, remote_id text, remote_url text, remote jsonb, confirmed_by text, rendered jsonb)
WHERE actions.id = m.id AND actions.lease_epoch = m.epoch AND actions.state = m.from_state;

-- name: moveMany
UPDATE guild_core.actions SET state = m.state, reason = m.reason, next_at = m.next_at, probes = m.probes, updated_at = m.at,
  remote_id = coalesce(m.remote_id, actions.remote_id), remote_url = coalesce(m.remote_url, actions.remote_url),
  remote = coalesce(m.remote, actions.remote), confirmed_by = m.confirmed_by, rendered = coalesce(m.rendered, actions.rendered),
  lease_owner = NULL, lease_until = NULL,
  finished_at = CASE WHEN m.state IN ('SUCCEEDED', 'SHADOWED', 'FAILED', 'EXPIRED', 'DENIED') THEN m.at END
FROM ROWS FROM (jsonb_to_recordset($1::jsonb) AS (id text, epoch integer, from_state text, state text, reason text, next_at timestamptz,
  probes integer, at timestamptz, remote_id text, remote_url text, remote jsonb, confirmed_by text, rendered jsonb)) WITH ORDINALITY
  AS m (id, epoch, from_state, state, reason, next_at, probes, at, remote_id, remote_url, remote, confirmed_by, rendered, nth)
WHERE actions.id = m.id AND actions.lease_epoch = m.epoch AND actions.state = m.from_state
RETURNING m.nth;

-- name: completeRemote
-- The echo was faster than the answer: the answer still knows the address.
UPDATE guild_core.actions SET remote_id = coalesce(remote_id, $2), remote_url = coalesce(remote_url, $3), remote = coalesce(remote, $4::jsonb)
WHERE id = $1 AND state = 'SUCCEEDED' AND (remote_id IS NULL OR remote_url IS NULL OR remote IS NULL);

-- name: freeMeaning
DELETE FROM guild_core.action_meanings WHERE action_id = $1;

-- name: noteWaiting
UPDATE guild_core.actions SET reason = $2, next_at = greatest(next_at, $5::timestamptz)
WHERE id = $1 AND state = $3 AND lease_epoch = $4 AND (reason IS DISTINCT FROM $2 OR next_at < $5);

-- name: endHold
UPDATE guild_core.approvals SET state = 'EXPIRED', decided_at = $2, note = $3 WHERE action_id = $1 AND state = 'PENDING' AND kind = 'hold';
