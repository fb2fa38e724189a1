-- name: runs
-- Each event of ours with its run and its action. $1 how their subjects begin
SELECT e.subject_id, e.disposition, i.id AS invocation_id, i.state AS run_state, i.attempts, i.reason_detail, a.id AS action_id,
  a.state AS action_state, a.reason AS action_reason, a.attempts AS calls, a.probes, a.confirmed_by
FROM guild_core.events e
LEFT JOIN guild_core.invocations i ON i.event_id = e.id
LEFT JOIN guild_core.actions a ON a.invocation_id = i.id
WHERE e.type = 'ISSUE_OPENED' AND starts_with(e.subject_id, $1)
ORDER BY e.subject_id;

-- name: claims
-- When the runs that were claimed more than once were claimed, and when they ended: from the decisions that each claim leaves in its own
-- transaction.
SELECT i.id, i.finished_at, array_agg(d.at ORDER BY d.id) AS claimed_at
FROM guild_core.invocations i
JOIN guild_core.decisions d ON d.invocation_id = i.id AND d.stage = 'run' AND d.outcome = 'RUNNING'
WHERE i.attempts > 1
GROUP BY i.id, i.finished_at;

-- name: audited
-- Rows of the audit trail by what they say, and those that say the same thing of the same run or action twice.
SELECT event_type, count(*)::integer AS rows,
  (count(*) - count(DISTINCT coalesce(action_id, invocation_id, source_event_id)))::integer AS again
FROM guild_audit.audit_log
WHERE event_type IN ('AGENT_INVOCATION', 'ACTION_PROPOSED') OR (event_type = 'ACTION_EXECUTED' AND result = 'SUCCESS')
GROUP BY event_type;
