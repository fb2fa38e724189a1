-- name: counts
-- What waits for a person, each by its index.
SELECT 'desk' AS kind, 'approvals' AS label, count(*) AS count FROM guild_core.approvals WHERE state = 'PENDING'
UNION ALL
SELECT 'desk', 'grants', count(*) FROM guild_core.invocations
WHERE state = 'STOPPED' AND reason IN ('BUDGET_RUN', 'BUDGET_AGENT', 'BUDGET_CHAPTER', 'BUDGET_ORG', 'CAUSAL_DEPTH')
  AND finished_at > now() - interval '24 hours'
UNION ALL
SELECT 'desk', 'parked', count(*) FROM guild_core.actions WHERE state = 'PARKED'
UNION ALL
-- Once per budget: the highest threshold that it has passed in its running period.
SELECT 'budget', passed.threshold::text, count(*)
FROM (
  SELECT max(a.threshold) AS threshold
  FROM guild_ledger.token_budgets b JOIN guild_ledger.alerts a ON a.budget_id = b.id
  WHERE b.period_start <= now() AND b.period_end > now() AND b.entity_type IN ('organization', 'chapter', 'agent')
  GROUP BY b.id
) AS passed
GROUP BY passed.threshold;

-- name: unbalancedReservations
SELECT count(*) AS count FROM guild_ledger.reservations WHERE state = 'OPEN' AND expires_at < now() - interval '1 hour';

-- name: stuckRuns
SELECT count(*) AS count FROM guild_core.invocations
WHERE (state = 'QUEUED' AND queued_at < now() - interval '10 minutes' AND coalesce(not_before, queued_at) < now() - interval '10 minutes')
   OR (state IN ('ADMITTED', 'RUNNING') AND lease_until < now() - interval '5 minutes');

-- name: openBreakers
SELECT name, last_error FROM guild_core.breakers WHERE state <> 'CLOSED' AND name NOT LIKE 'provider:%' ORDER BY name;

-- name: troubledProviders
-- Cut off by their breaker, or not to be asked before a time that they named.
SELECT substr(name, 10) AS name, state, CASE WHEN state = 'CLOSED' THEN next_at ELSE retry_at END AS until, last_error AS why
FROM guild_core.breakers WHERE name LIKE 'provider:%' AND (state <> 'CLOSED' OR next_at > now()) ORDER BY name;

-- name: quarantinedTools
-- What runs of the serving commit ($1) were not allowed to use, each tool once, from the newest decisions.
SELECT DISTINCT ON (rule) reason
FROM (SELECT id, at, outcome, rule, reason, codex_commit FROM guild_core.decisions ORDER BY id DESC LIMIT 20000) newest
WHERE outcome = 'TOOL_QUARANTINED' AND codex_commit = $1 AND at > now() - interval '24 hours'
ORDER BY rule, id DESC
LIMIT 20;
