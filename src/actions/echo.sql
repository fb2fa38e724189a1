-- name: findSent
SELECT a.id, a.state, a.lease_epoch, a.attempts, a.type, a.connector, a.target_system, a.target, a.rendered, a.remote_id, a.remote,
  a.agent_id, a.event_id, a.trace_id, a.invocation_id, a.codex_commit, a.awaited, a.undo_of, a.causal_root, a.causal_depth, a.priority
FROM guild_core.actions a WHERE a.id = $1 AND a.sent_at IS NOT NULL
FOR UPDATE;

-- name: confirm
UPDATE guild_core.actions SET state = 'SUCCEEDED', reason = 'done: it came back to us as an event', confirmed_by = 'echo',
  remote_id = coalesce(remote_id, $2), remote_url = coalesce(remote_url, $3), finished_at = $4, updated_at = $4,
  lease_owner = NULL, lease_until = NULL
WHERE id = $1;
