-- name: resolve
-- Any id that people hold → the events it leads to, the one that led to runs first.
SELECT found.event_id
FROM (
  SELECT id AS event_id FROM guild_core.event_keys WHERE id = $1
  UNION
  SELECT id FROM guild_core.events WHERE trace_id = $1
  UNION
  SELECT coalesce(duplicate_of, event_id) FROM guild_core.receipts WHERE id = $1 OR event_id = $1 OR delivery_id = $1
  UNION
  SELECT event_id FROM guild_core.invocations WHERE id = $1
  UNION
  SELECT event_id FROM guild_core.actions WHERE id = $1
  UNION
  SELECT a.event_id FROM guild_core.approvals p JOIN guild_core.actions a ON a.id = p.action_id WHERE p.id = $1
) found
LEFT JOIN guild_core.event_keys k ON k.id = found.event_id
LEFT JOIN guild_core.events e ON e.received_at = k.received_at AND e.id = k.id
ORDER BY e.invocations DESC NULLS LAST, found.event_id
LIMIT 20;

-- name: event
SELECT id, type, source, connector, chapter, priority, trace_id, subject_kind, subject_id, actor, dedup_key, occurred_at, received_at,
  causal_root, causal_depth, causal_parent, disposition, rule, reason, invocations, codex_commit, decided_at,
  metadata -> 'subject' ->> 'url' AS subject_url
FROM guild_core.events WHERE id = $1 AND received_at = (SELECT k.received_at FROM guild_core.event_keys k WHERE k.id = $1);

-- name: receipts
SELECT id, event_id, duplicate_of, source, delivery_id, disposition, received_at
FROM guild_core.receipts WHERE event_id = $1 OR duplicate_of = $1
ORDER BY received_at, duplicate_of NULLS FIRST, id LIMIT 200;

-- name: decisions
SELECT d.at, d.stage, d.outcome, d.receipt_id, d.agent_id, d.invocation_id, d.action_id, d.rule, d.reason, d.codex_commit, d.detail
FROM guild_core.decisions d
WHERE d.event_id = $1
  -- Arrays, because an OR with subqueries is answered by reading all decisions there are.
  OR (d.invocation_id = ANY (ARRAY(SELECT i.id FROM guild_core.invocations i WHERE i.event_id = $1)) AND d.stage <> 'dispatch')
  OR d.action_id = ANY (ARRAY(SELECT a.id FROM guild_core.actions a WHERE a.event_id = $1))
ORDER BY d.at, d.id LIMIT 1000;

-- name: invocations
SELECT id, agent_id, agent_type, agent_version, chapter, rule, priority, state, reason, reason_detail, attempts, queued_at, started_at,
  finished_at, summary, provider, model, model_calls, tool_calls, input_tokens, output_tokens, cost_micros, actions, codex_commit
FROM guild_core.invocations
WHERE event_id = $1
  -- a run of another event that this one joined before it started
  OR id IN (SELECT d.invocation_id FROM guild_core.decisions d WHERE d.event_id = $1 AND d.outcome = 'COALESCED')
ORDER BY queued_at, id;

-- name: actions
SELECT id, invocation_id, agent_id, type, connector, target_system, target, autonomy, rule, state, reason, attempts, probes, sent_at,
  remote_id, remote_url, confirmed_by, provider, model, codex_commit, created_at, finished_at
FROM guild_core.actions WHERE event_id = $1
ORDER BY lane LIMIT 500;

-- name: approvals
SELECT p.id, p.action_id, p.state, p.asked, p.requested_at, p.expires_at, p.decided_by, p.decided_at, p.channel, p.note
FROM guild_core.approvals p JOIN guild_core.actions a ON a.id = p.action_id
WHERE a.event_id = $1
ORDER BY p.requested_at, p.id LIMIT 500;

-- name: consequences
-- Events that our own runs on this event caused: echoes, and what other bots answered.
SELECT e.id, e.type, e.subject_id, e.actor, e.disposition, e.reason, e.received_at, e.causal_depth
FROM guild_core.events e
WHERE e.causal_root = $2 AND e.causal_root <> e.id AND e.id <> $1
  AND e.causal_parent IN (SELECT i.id FROM guild_core.invocations i WHERE i.event_id = $1)
ORDER BY e.received_at, e.id LIMIT 100;
