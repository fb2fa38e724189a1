-- name: rootOf
-- Of the id of an event, reception, run or action, or of the root itself.
SELECT root FROM (
  SELECT causal_root AS root FROM guild_core.events WHERE id = $1 AND received_at = (SELECT k.received_at FROM guild_core.event_keys k WHERE k.id = $1)
  UNION ALL
  SELECT e.causal_root FROM guild_core.receipts r JOIN guild_core.event_keys k ON k.id = coalesce(r.duplicate_of, r.event_id)
  JOIN guild_core.events e ON e.received_at = k.received_at AND e.id = k.id
  WHERE r.id = $1 OR r.event_id = $1 OR r.delivery_id = $1
  UNION ALL
  SELECT causal_root FROM guild_core.invocations WHERE id = $1
  UNION ALL
  SELECT causal_root FROM guild_core.actions WHERE id = $1
) found
LIMIT 1;

-- name: treeEvents
-- The root by its own id, what follows from it by its root.
SELECT id, type, source, subject_id, actor, disposition, reason, causal_depth, causal_parent, received_at
FROM guild_core.events
WHERE id = $1 AND causal_root = id AND received_at = (SELECT k.received_at FROM guild_core.event_keys k WHERE k.id = $1)
UNION ALL
SELECT id, type, source, subject_id, actor, disposition, reason, causal_depth, causal_parent, received_at
FROM guild_core.events WHERE causal_root = $1 AND causal_root <> id
ORDER BY received_at, id LIMIT 1000;

-- name: treeRuns
SELECT id, agent_id, event_id, state, reason, held_reason, causal_depth, parent_id, cost_micros, input_tokens + output_tokens AS tokens,
  actions, queued_at
FROM guild_core.invocations
WHERE (event_id = $1 AND causal_root = event_id) OR (causal_root = $1 AND causal_root <> event_id)
ORDER BY queued_at, id LIMIT 1000;

-- name: treeSum
SELECT count(*) AS runs, coalesce(max(causal_depth), 0) AS depth, coalesce(sum(cost_micros), 0)::bigint AS cost_micros,
  coalesce(sum(input_tokens + output_tokens), 0)::bigint AS tokens
FROM guild_core.invocations
WHERE (event_id = $1 AND causal_root = event_id) OR (causal_root = $1 AND causal_root <> event_id);
