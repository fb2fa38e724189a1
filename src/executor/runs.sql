-- name: listRuns
-- $1 state or null · $2 agent or null · $3 id of the last run of the page before, or null · $4 rows at most
SELECT i.id, i.agent_id, i.agent_type, i.agent_version, i.chapter, i.event_id, i.trace_id, i.rule, i.priority, i.state, i.reason,
  i.reason_detail, i.attempts, i.not_before, i.queued_at, i.started_at, i.finished_at, i.active_ms, i.waited_ms, i.summary,
  i.provider, i.model, i.model_calls, i.tool_calls, i.input_tokens, i.output_tokens, i.cost_micros, i.actions, i.codex_commit,
  i.transcript_ref, e.type AS event_type, e.source, e.subject_id
FROM guild_core.invocations i
JOIN guild_core.event_keys k ON k.id = i.event_id
JOIN guild_core.events e ON e.received_at = k.received_at AND e.id = k.id
WHERE ($1::text IS NULL OR i.state = $1) AND ($2::text IS NULL OR i.agent_id = $2)
  AND ($3::text IS NULL OR (i.queued_at, i.id) < (SELECT b.queued_at, b.id FROM guild_core.invocations b WHERE b.id = $3))
ORDER BY i.queued_at DESC, i.id DESC
LIMIT $4;

-- name: getRun
SELECT i.id, i.agent_id, i.agent_type, i.agent_version, i.chapter, i.event_id, i.trace_id, i.causal_root, i.causal_depth, i.parent_id,
  i.codex_commit, i.snapshot_hash, i.rule, i.priority, i.state, i.reason, i.reason_detail, i.attempts, i.failing_seq, i.failures,
  i.slot_key, i.slots_max, i.held_by, i.held_reason, i.predicted_start, i.cancel, i.coalesced, i.latest_event_id,
  i.lease_owner, i.lease_epoch, i.lease_until, i.not_before, i.queued_at, i.started_at, i.finished_at, i.active_ms, i.waited_ms,
  i.summary, i.output, i.provider, i.model, i.model_calls, i.tool_calls, i.input_tokens, i.output_tokens, i.cost_micros, i.actions,
  i.transcript_ref, e.type AS event_type, e.source, e.subject_id, e.metadata -> 'actor' ->> 'integrity' AS event_integrity,
  octet_length(e.payload::text) AS event_bytes,
  (SELECT coalesce(jsonb_agg(to_jsonb(s) - 'invocation_id' ORDER BY s.seq, s.attempt), '[]')
   FROM guild_core.run_steps s WHERE s.invocation_id = i.id AND s.run_at = i.made_at) AS steps,
  (SELECT coalesce(jsonb_agg(to_jsonb(u) - 'budget_ids' ORDER BY u.step_seq, u.attempt), '[]')
   FROM guild_ledger.token_usage u WHERE u.invocation_id = i.id) AS usage,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'type', a.type, 'target', a.target, 'state', a.state, 'reason', a.reason,
     'remote_url', a.remote_url, 'created_at', a.created_at, 'finished_at', a.finished_at) ORDER BY a.lane), '[]')
   FROM guild_core.actions a WHERE a.invocation_id = i.id) AS proposed,
  (SELECT coalesce(jsonb_agg(to_jsonb(d) ORDER BY d.id), '[]')
   FROM guild_core.decisions d
   -- what woke it stands with its event
   WHERE d.invocation_id = i.id AND (d.stage <> 'dispatch' OR d.event_id = i.event_id)) AS decisions
FROM guild_core.invocations i
JOIN guild_core.event_keys k ON k.id = i.event_id
JOIN guild_core.events e ON e.received_at = k.received_at AND e.id = k.id
WHERE i.id = $1;
