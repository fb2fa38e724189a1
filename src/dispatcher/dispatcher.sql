-- name: write
-- The rows of a batch: events, their receipts, invocations and decisions. Another dispatcher may be deciding the same: the unique keys of
-- event_keys and receipts say who was first, and only the receipts that are returned were written here.
-- What an event says about itself is taken from its metadata here, and what is the same for all is said once: the text that is sent and
-- read is half of what its rows hold.
-- $1 receptions · $2 invocations · $3 decisions · $4 when · $5 commit and $6 hash of the Codex
WITH input AS MATERIALIZED (
  SELECT r.*, r.metadata ->> 'receipt_id' AS receipt_id, r.metadata ->> 'dedup_key' AS dedup_key,
    (r.metadata ->> 'received_at')::timestamptz AS received_at, r.metadata -> 'causal' AS causal
  FROM jsonb_to_recordset($1::jsonb) AS r (
    id text, type text, source text, payload jsonb, metadata jsonb, disposition text, rule text, reason text, invocations integer,
    duplicate_of text, handoff jsonb
  )
), new_keys AS (
  INSERT INTO guild_core.event_keys (id, source, dedup_key, received_at)
  SELECT id, source, dedup_key, received_at
  FROM input
  WHERE disposition <> 'DUPLICATE'
  -- One order for all, so that two dispatchers with the same events wait for one another and do not deadlock.
  ORDER BY source, dedup_key
  ON CONFLICT DO NOTHING
  RETURNING id
), new_events AS (
  INSERT INTO guild_core.events
    (id, type, source, connector, chapter, priority, trace_id, subject_kind, subject_id, actor, dedup_key, payload, metadata,
     occurred_at, received_at, causal_root, causal_depth, causal_parent, disposition, rule, reason, invocations, codex_commit, decided_at)
  SELECT id, type, source, metadata ->> 'connector', metadata ->> 'chapter', metadata ->> 'priority', metadata ->> 'trace_id',
    metadata -> 'subject' ->> 'kind', metadata -> 'subject' ->> 'id', metadata -> 'actor' ->> 'id', dedup_key, payload, metadata,
    (metadata ->> 'occurred_at')::timestamptz, received_at, causal ->> 'root', (causal ->> 'depth')::integer, causal ->> 'parent',
    disposition, rule, reason, invocations, $5::text, $4::timestamptz
  FROM input
  WHERE disposition <> 'DUPLICATE' AND id IN (SELECT id FROM new_keys)
  RETURNING id
), new_receipts AS (
  INSERT INTO guild_core.receipts (id, event_id, duplicate_of, source, delivery_id, body_hash, disposition, received_at)
  SELECT receipt_id, id, duplicate_of, source, metadata ->> 'delivery_id', metadata ->> 'body_hash', disposition, received_at
  FROM input
  WHERE disposition = 'DUPLICATE' OR id IN (SELECT id FROM new_events)
  ORDER BY receipt_id
  ON CONFLICT DO NOTHING
  RETURNING id, coalesce(duplicate_of, event_id) AS event_id
), new_invocations AS (
  INSERT INTO guild_core.invocations
    (id, agent_id, agent_type, agent_version, chapter, event_id, trace_id, causal_root, causal_depth, parent_id, codex_commit,
     snapshot_hash, rule, priority, state, queued_at, slot_key, slots_max, coalesced, latest_event_id, handoff)
  SELECT i.id, i.agent_id, i.agent_type, i.agent_version, i.chapter, i.event_id, e.metadata ->> 'trace_id', e.causal ->> 'root',
    (e.causal ->> 'depth')::integer, e.causal ->> 'parent', $5::text, $6::text, i.rule, i.priority, 'QUEUED', $4::timestamptz, i.slot_key,
    i.slots_max, i.coalesced, i.latest_event_id, e.handoff
  FROM jsonb_to_recordset($2::jsonb) AS i (
    id text, agent_id text, agent_type text, agent_version text, chapter text, event_id text, rule text, priority text,
    slot_key text, slots_max integer, coalesced integer, latest_event_id text
  )
  JOIN input e ON e.id = i.event_id AND e.disposition <> 'DUPLICATE'
  WHERE i.event_id IN (SELECT id FROM new_events)
  ON CONFLICT DO NOTHING
), new_decisions AS (
  INSERT INTO guild_core.decisions (at, stage, outcome, event_id, receipt_id, agent_id, invocation_id, rule, reason, codex_commit, detail)
  SELECT $4::timestamptz, d.stage, d.outcome, r.event_id, d.receipt_id, d.agent_id, d.invocation_id, d.rule, d.reason, $5::text,
    coalesce(d.detail, '{}')
  FROM ROWS FROM (jsonb_to_recordset($3::jsonb) AS (
    receipt_id text, stage text, outcome text, agent_id text, invocation_id text, rule text, reason text, detail jsonb
  )) WITH ORDINALITY AS d (receipt_id, stage, outcome, agent_id, invocation_id, rule, reason, detail, place)
  JOIN new_receipts r ON r.id = d.receipt_id
  ORDER BY d.place
)
SELECT id FROM new_receipts;

-- name: overlap
-- What events of the batch do to runs that are there already. Apart from the rest, because hardly any batch has any, and a statement
-- that may change runs looks at all of them where its plan was made while they were few.
-- $1 events that join runs which have not started · $2 runs that are to stop
WITH joined AS (
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
    FROM jsonb_to_recordset($1::jsonb) AS j (run text, event_id text, occurred_at timestamptz, priority text)
    GROUP BY run
  ) j
  WHERE i.id = j.run
)
-- One that waits has nothing to wait for any more: the sweeper sends it, and it ends.
UPDATE guild_core.invocations i
SET cancel = c.reason, not_before = NULL, state = CASE WHEN i.state LIKE 'WAITING%' THEN 'ADMITTED' ELSE i.state END
FROM jsonb_to_recordset($2::jsonb) AS c (run text, reason text)
WHERE i.id = c.run AND i.finished_at IS NULL AND i.cancel IS NULL;
