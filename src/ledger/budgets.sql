-- name: listBudgets
SELECT b.*, coalesce(a.alerts, '[]') AS alerts
FROM guild_ledger.token_budgets b
LEFT JOIN LATERAL (
  SELECT jsonb_agg(jsonb_build_object('threshold', threshold, 'dimension', dimension, 'at', at) ORDER BY threshold, dimension) AS alerts
  FROM guild_ledger.alerts WHERE budget_id = b.id
) a ON true
WHERE ($2::text IS NULL OR b.entity_type = $2)
  AND ($3::text IS NULL OR b.entity_id = $3)
  AND (b.entity_type <> 'run' OR ($2 = 'run' AND $3::text IS NOT NULL))
  AND b.period_start <= $1 AND b.period_end > $1
ORDER BY b.id COLLATE "C"
LIMIT 500;
