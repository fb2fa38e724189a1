-- name: lookUp
-- What the records say about each event of a batch, in one statement.
-- Each table is asked once per event, by its index: LATERAL with a limit leaves the planner no other way. A join it would answer by reading
-- the whole of each table, for a plan is made, and kept, while they are small.
SELECT g.receipt_id, received.id IS NOT NULL AS received, received.disposition = 'DEAD' AS buried, same.id AS same_id, fact.id AS fact_id,
  replayed.event_id AS replayed_id, action.id IS NOT NULL AS marker_known, cause.id AS cause_action, cause.causal_root AS cause_root,
  cause.causal_depth + 1 AS cause_depth, cause.invocation_id AS cause_parent
FROM jsonb_to_recordset($1::jsonb) AS g (
  receipt_id text, id text, source text, connector text, dedup_key text, body_hash text, delivery_id text, marker text,
  subject_id text, subject_url text, bot boolean, received_at timestamptz
)
LEFT JOIN LATERAL (SELECT r.id, r.disposition FROM guild_core.receipts r WHERE r.id = g.receipt_id LIMIT 1) received ON true
LEFT JOIN LATERAL (SELECT k.id FROM guild_core.event_keys k WHERE k.id = g.id LIMIT 1) same ON true
LEFT JOIN LATERAL (
  SELECT k.id FROM guild_core.event_keys k WHERE k.source = g.source AND k.dedup_key = g.dedup_key LIMIT 1
) fact ON true
LEFT JOIN LATERAL (SELECT a.id FROM guild_core.actions a WHERE a.id = g.marker LIMIT 1) action ON true
-- A body signed without its delivery id can be sent again under another one; several events of one delivery share a body.
LEFT JOIN LATERAL (
  SELECT r.event_id
  FROM guild_core.receipts r
  WHERE r.source = g.source AND r.body_hash = g.body_hash AND r.delivery_id <> g.delivery_id AND r.duplicate_of IS NULL
    AND r.disposition <> 'DEAD' AND r.received_at > g.received_at - interval '24 hours'
  ORDER BY r.received_at, r.id
  LIMIT 1
) replayed ON true
-- A bot that answers on what we wrote or made is a consequence of it; a person is a new cause. A slow bot too, within a day, unless a
-- person did something to the object since: then it more likely follows from that.
LEFT JOIN LATERAL (
  SELECT recent.* FROM (
    SELECT a.id, a.causal_root, a.causal_depth, a.invocation_id, a.sent_at
    FROM guild_core.actions a
    WHERE g.bot AND a.connector = g.connector AND a.target = g.subject_id AND a.sent_at > g.received_at - interval '24 hours'
    UNION ALL
    SELECT a.id, a.causal_root, a.causal_depth, a.invocation_id, a.sent_at
    FROM guild_core.actions a
    WHERE g.bot AND a.remote_url = g.subject_url AND a.sent_at > g.received_at - interval '24 hours'
  ) recent
  WHERE recent.sent_at > g.received_at - interval '10 minutes' OR NOT EXISTS (
    SELECT 1 FROM guild_core.events p
    WHERE p.subject_id = g.subject_id AND p.received_at > recent.sent_at AND p.received_at < g.received_at
      AND p.metadata -> 'actor' ->> 'kind' = 'user'
  )
  ORDER BY recent.causal_depth DESC, recent.sent_at DESC
  LIMIT 1
) cause ON true;
