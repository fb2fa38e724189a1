-- name: lookUp
-- What the records say about each event of a batch, in one statement.
-- Each table is asked once per event, by its index: LATERAL with a limit leaves the planner no other way. A join it would answer by reading
-- the whole of each table, for a plan is made, and kept, while they are small.
SELECT g.receipt_id, received.id IS NOT NULL AS received, same.id AS same_id, fact.id AS fact_id, replayed.event_id AS replayed_id,
  action.id IS NOT NULL AS marker_known, cause.id AS cause_action, cause.causal_root AS cause_root,
  cause.causal_depth + 1 AS cause_depth, cause.invocation_id AS cause_parent
FROM jsonb_to_recordset($1::jsonb) AS g (
  receipt_id text, id text, source text, connector text, dedup_key text, body_hash text, delivery_id text, marker text,
  subject_id text, subject_url text, bot boolean, received_at timestamptz
)
LEFT JOIN LATERAL (SELECT r.id FROM guild_core.receipts r WHERE r.id = g.receipt_id LIMIT 1) received ON true
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
    WHERE a.connector = g.connector AND a.target = g.subject_id AND a.sent_at > g.received_at - interval '24 hours'
    UNION ALL
    SELECT a.id, a.causal_root, a.causal_depth, a.invocation_id, a.sent_at
    FROM guild_core.actions a
    WHERE a.remote_url = g.subject_url AND a.sent_at > g.received_at - interval '24 hours'
  ) recent
  WHERE recent.sent_at > g.received_at - interval '10 minutes' OR NOT EXISTS (
    SELECT 1 FROM guild_core.events p
    WHERE p.subject_id = g.subject_id AND p.received_at > recent.sent_at AND p.received_at < g.received_at
      AND p.metadata -> 'actor' ->> 'kind' = 'user'
  )
  ORDER BY recent.causal_depth DESC, recent.sent_at DESC
  LIMIT 1
) cause ON g.bot;

-- name: write
-- The rows of a batch: events, their receipts and their invocations. Another dispatcher may be deciding the same: the unique keys of
-- event_keys and receipts say who was first, and only the receipts that are returned were written here.
-- $1 events · $2 receipts · $3 invocations · $4 events that join runs which have not started · $5 runs that are to stop
WITH new_keys AS (
  INSERT INTO guild_core.event_keys (id, source, dedup_key, received_at)
  SELECT id, source, dedup_key, received_at
  FROM jsonb_to_recordset($1::jsonb) AS e (id text, source text, dedup_key text, received_at timestamptz)
  -- One order for all, so that two dispatchers with the same events wait for one another and do not deadlock.
  ORDER BY source, dedup_key
  ON CONFLICT DO NOTHING
  RETURNING id
), new_events AS (
  INSERT INTO guild_core.events
    (id, type, source, connector, chapter, priority, trace_id, subject_kind, subject_id, actor, dedup_key, payload, metadata,
     occurred_at, received_at, causal_root, causal_depth, causal_parent, disposition, rule, reason, invocations, codex_commit, decided_at)
  SELECT id, type, source, connector, chapter, priority, trace_id, subject_kind, subject_id, actor, dedup_key, payload, metadata,
    occurred_at, received_at, causal_root, causal_depth, causal_parent, disposition, rule, reason, invocations, codex_commit, decided_at
  FROM jsonb_to_recordset($1::jsonb) AS e (
    id text, type text, source text, connector text, chapter text, priority text, trace_id text, subject_kind text, subject_id text,
    actor text, dedup_key text, payload jsonb, metadata jsonb, occurred_at timestamptz, received_at timestamptz, causal_root text,
    causal_depth integer, causal_parent text, disposition text, rule text, reason text, invocations integer, codex_commit text,
    decided_at timestamptz
  )
  WHERE id IN (SELECT id FROM new_keys)
  RETURNING id
), new_receipts AS (
  INSERT INTO guild_core.receipts (id, event_id, duplicate_of, source, delivery_id, body_hash, disposition, received_at)
  SELECT r.id, r.event_id, r.duplicate_of, r.source, r.delivery_id, r.body_hash, r.disposition, r.received_at
  FROM jsonb_to_recordset($2::jsonb) AS r (
    id text, event_id text, duplicate_of text, source text, delivery_id text, body_hash text, disposition text, received_at timestamptz
  )
  WHERE r.disposition IN ('DUPLICATE', 'DEAD') OR r.event_id IN (SELECT id FROM new_events)
  ORDER BY r.id
  ON CONFLICT DO NOTHING
  RETURNING id
), new_invocations AS (
  INSERT INTO guild_core.invocations
    (id, agent_id, agent_type, agent_version, chapter, event_id, trace_id, causal_root, causal_depth, parent_id, codex_commit,
     snapshot_hash, rule, priority, state, queued_at, slot_key, slots_max, coalesced, latest_event_id, handoff)
  SELECT i.id, i.agent_id, i.agent_type, i.agent_version, i.chapter, i.event_id, i.trace_id, i.causal_root, i.causal_depth,
    i.parent_id, i.codex_commit, i.snapshot_hash, i.rule, i.priority, 'QUEUED', i.queued_at, i.slot_key,
    i.slots_max, i.coalesced, i.latest_event_id, i.handoff
  FROM jsonb_to_recordset($3::jsonb) AS i (
    id text, agent_id text, agent_type text, agent_version text, chapter text, event_id text, trace_id text, causal_root text,
    causal_depth integer, parent_id text, codex_commit text, snapshot_hash text, rule text, priority text, queued_at timestamptz,
    slot_key text, slots_max integer, coalesced integer, latest_event_id text, handoff jsonb
  )
  WHERE i.event_id IN (SELECT id FROM new_events)
  ON CONFLICT DO NOTHING
), joined AS (
  UPDATE guild_core.invocations i
  SET coalesced = i.coalesced + j.events, 
      priority = (guild_core.lanes())[least(j.lane, array_position(guild_core.lanes(), i.priority::text))],
      latest_event_id = CASE
        WHEN j.occurred_at >= (
          SELECT e.occurred_at FROM guild_core.event_keys k JOIN guild_core.events e ON e.received_at = k.received_at AND e.id = k.id
          WHERE k.id = coalesce(i.latest_event_id, i.event_id))
        THEN j.event_id ELSE i.latest_event_id END
  FROM (
    SELECT run, count(*)::integer AS events, max(occurred_at) AS occurred_at,
      (array_agg(event_id ORDER BY occurred_at DESC, event_id))[1] AS event_id,
      min(array_position(guild_core.lanes(), priority)) AS lane
    FROM jsonb_to_recordset($4::jsonb) AS j (run text, event_id text, occurred_at timestamptz, priority text)
    WHERE event_id IN (SELECT id FROM new_events)
    GROUP BY run
  ) j
  WHERE i.id = j.run
), cancelled AS (
  -- One that waits has nothing to wait for any more: the sweeper sends it, and it ends.
  UPDATE guild_core.invocations i
  SET cancel = c.reason, not_before = NULL, state = CASE WHEN i.state LIKE 'WAITING%' THEN 'ADMITTED' ELSE i.state END
  FROM jsonb_to_recordset($5::jsonb) AS c (run text, event_id text, reason text)
  WHERE i.id = c.run AND i.finished_at IS NULL AND i.cancel IS NULL AND c.event_id IN (SELECT id FROM new_events)
)
SELECT id FROM new_receipts;
