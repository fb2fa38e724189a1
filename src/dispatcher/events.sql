-- name: listEvents
SELECT e.id, e.type, e.source, e.connector, e.chapter, e.priority, e.trace_id, e.subject_kind, e.subject_id, e.actor, e.disposition,
  e.rule, e.reason, e.invocations, e.causal_root, e.causal_depth, e.causal_parent, e.occurred_at, e.received_at, e.decided_at,
  e.codex_commit, NULL AS receipt_id, NULL AS duplicate_of
FROM guild_core.events e
WHERE ($2::text IS NULL OR e.type = $2) AND ($3::text IS NULL OR e.disposition = $3) AND ($4::text IS NULL OR e.source = $4)
  AND ($5::text IS NULL OR (e.received_at, e.id) < (SELECT b.received_at, b.id FROM guild_core.event_keys b WHERE b.id = $5))
ORDER BY e.received_at DESC, e.id DESC
LIMIT $1;

-- name: listReceipts
-- Repetitions and unreadable messages have no event row: each is shown as the event it repeats, or as itself.
SELECT r.event_id AS id, coalesce(e.type, 'UNREADABLE') AS type, r.source, coalesce(e.connector, r.source) AS connector, e.chapter,
  coalesce(e.priority, 'NORMAL') AS priority, coalesce(e.trace_id, '') AS trace_id, coalesce(e.subject_kind, 'message') AS subject_kind,
  coalesce(e.subject_id, r.delivery_id) AS subject_id, coalesce(e.actor, '') AS actor, r.disposition, NULL AS rule,
  coalesce(d.reason, r.disposition) AS reason, 0 AS invocations, coalesce(e.causal_root, r.event_id) AS causal_root,
  coalesce(e.causal_depth, 0) AS causal_depth, e.causal_parent, coalesce(e.occurred_at, r.received_at) AS occurred_at, r.received_at,
  coalesce(d.at, r.received_at) AS decided_at, coalesce(d.codex_commit, '') AS codex_commit, r.id AS receipt_id, r.duplicate_of
FROM guild_core.receipts r
LEFT JOIN guild_core.event_keys k ON k.id = r.duplicate_of
LEFT JOIN guild_core.events e ON e.received_at = k.received_at AND e.id = k.id
LEFT JOIN LATERAL (
  SELECT d.reason, d.at, d.codex_commit FROM guild_core.decisions d
  WHERE d.event_id = coalesce(r.duplicate_of, r.event_id) AND d.receipt_id = r.id AND d.agent_id IS NULL
  ORDER BY d.id
  LIMIT 1
) d ON true
WHERE r.disposition = $3 AND r.disposition IN ('DUPLICATE', 'DEAD') AND ($2::text IS NULL OR coalesce(e.type, 'UNREADABLE') = $2) AND ($4::text IS NULL OR r.source = $4)
  AND ($5::text IS NULL OR (r.received_at, r.id) < (SELECT b.received_at, b.id FROM guild_core.receipts b WHERE b.id = $5))
ORDER BY r.received_at DESC, r.id DESC
LIMIT $1;

-- name: readEvent
SELECT e.*, (
  SELECT coalesce(jsonb_agg(jsonb_build_object('id', i.id, 'agent_id', i.agent_id, 'state', i.state, 'rule', i.rule) ORDER BY i.agent_id), '[]')
  FROM guild_core.invocations i WHERE i.event_id = e.id
) AS runs, (
  SELECT count(*) FROM guild_core.receipts r WHERE r.event_id = e.id OR r.duplicate_of = e.id
) AS receptions
FROM guild_core.events e
WHERE e.id = $1 AND e.received_at = (SELECT k.received_at FROM guild_core.event_keys k WHERE k.id = $1);
