-- name: look
SELECT id, agent_id, chapter, event_id, trace_id, causal_root, priority, state, reason, codex_commit, finished_at, journal_forgotten
FROM guild_core.invocations WHERE id = $1;

-- name: resume
-- A run that stopped at a budget is waiting again; its journal, its epoch and what it has used stay.
-- $1 invocation · $2 tokens · $3 cost · $4 the state it was in when it was read
UPDATE guild_core.invocations
SET granted_tokens = granted_tokens + $2, granted_cost_micros = granted_cost_micros + $3,
    state = CASE WHEN state = 'STOPPED' THEN 'ADMITTED' ELSE state END,
    reason = CASE WHEN state = 'STOPPED' THEN NULL ELSE reason END,
    reason_detail = CASE WHEN state = 'STOPPED' THEN NULL ELSE reason_detail END,
    finished_at = CASE WHEN state = 'STOPPED' THEN NULL ELSE finished_at END,
    not_before = CASE WHEN state = 'STOPPED' THEN NULL ELSE not_before END,
    failing_seq = NULL, failures = 0
WHERE id = $1 AND state = $4
RETURNING id;

-- name: listStopped
-- Runs that a grant can set going again, newest first, for as long as a person may still care.
SELECT i.id, i.agent_id, i.chapter, i.event_id, i.causal_root, i.priority, i.reason, i.reason_detail, i.finished_at, i.input_tokens,
  i.output_tokens, i.cost_micros, e.type AS event_type, e.subject_id
FROM guild_core.invocations i JOIN guild_core.event_keys k ON k.id = i.event_id
JOIN guild_core.events e ON e.received_at = k.received_at AND e.id = k.id
WHERE i.state = 'STOPPED' AND i.reason IN ('BUDGET_RUN', 'BUDGET_AGENT', 'BUDGET_CHAPTER', 'BUDGET_ORG', 'CAUSAL_DEPTH')
  AND NOT i.journal_forgotten AND i.finished_at > now() - interval '7 days'
ORDER BY i.finished_at DESC LIMIT $1;
