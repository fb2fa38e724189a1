-- name: listBudgets
-- The burn is what was used in the last part of the period: an hour, six hours of a day, seven days of a month.
-- $1 now · $2 entity type or null · $3 entity or null
WITH listed AS (
  SELECT b.*, greatest(b.period_start, $1::timestamptz - CASE b.limit_kind
      WHEN 'hour' THEN interval '1 hour' WHEN 'day' THEN interval '6 hours' ELSE interval '7 days' END) AS since
  FROM guild_ledger.token_budgets b
  WHERE ($2::text IS NULL OR b.entity_type = $2)
    AND ($3::text IS NULL OR b.entity_id = $3)
    AND (b.entity_type NOT IN ('run', 'tree') OR (b.entity_type = $2 AND $3::text IS NOT NULL))
    AND b.period_start <= $1 AND b.period_end > $1
  ORDER BY b.id COLLATE "C"
  LIMIT 500
), burnt AS (
  SELECT l.id, sum(u.total_tokens)::bigint AS tokens, sum(u.cost_micros)::bigint AS cost, min(u.timestamp) AS first_at
  FROM guild_ledger.token_usage u
  CROSS JOIN LATERAL jsonb_array_elements_text(u.budget_ids) AS budget (id)
  JOIN listed l ON l.id = budget.id AND u.timestamp >= l.since
  WHERE u.timestamp >= (SELECT min(since) FROM listed) AND u.timestamp <= $1
  GROUP BY l.id
)
SELECT l.*, coalesce(a.alerts, '[]') AS alerts, coalesce(burnt.tokens, 0) AS burnt_tokens, coalesce(burnt.cost, 0) AS burnt_cost_micros
FROM listed l
LEFT JOIN burnt ON burnt.id = l.id
LEFT JOIN LATERAL (
  SELECT jsonb_agg(jsonb_build_object('threshold', threshold, 'dimension', dimension, 'degradations', degradations, 'at', at)
    ORDER BY threshold, dimension) AS alerts
  FROM guild_ledger.alerts WHERE budget_id = l.id
) a ON true
ORDER BY l.id COLLATE "C";
