-- name: claimMeaning
-- No row: somebody holds this idea, and its window is still open.
INSERT INTO guild_core.action_meanings AS held (dedupe_key, action_id, until) VALUES ($1, $2, $3)
ON CONFLICT (dedupe_key) DO UPDATE SET action_id = excluded.action_id, until = excluded.until
  WHERE held.until <= $4 OR held.action_id = excluded.action_id
RETURNING action_id;

-- name: claimMeaningMany
-- Two callers with one idea at the same moment fail here, and each is asked alone.
WITH asked AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[]) WITH ORDINALITY AS r (dedupe_key, action_id, until, at, nth)
), claimed AS (
  INSERT INTO guild_core.action_meanings AS held (dedupe_key, action_id, until) SELECT dedupe_key, action_id, until FROM asked ORDER BY dedupe_key
  ON CONFLICT (dedupe_key) DO UPDATE SET action_id = excluded.action_id, until = excluded.until
    WHERE held.until <= (SELECT min(at) FROM asked) OR held.action_id = excluded.action_id
  RETURNING held.dedupe_key, held.action_id
)
SELECT asked.nth, claimed.action_id FROM asked JOIN claimed ON claimed.dedupe_key = asked.dedupe_key;

-- name: meaningHolder
SELECT held.action_id, first.state = 'SHADOWED' AS shadowed,
  EXISTS (
    SELECT 1 FROM guild_core.actions later
    WHERE later.connector = first.connector AND later.target = first.target AND later.type = first.type
      AND later.agent_id = first.agent_id AND later.lane > first.lane AND later.state NOT IN ('DENIED', 'FAILED', 'EXPIRED')
  ) AS replaced
FROM guild_core.action_meanings held JOIN guild_core.actions first ON first.id = held.action_id
WHERE held.dedupe_key = $1;

-- name: takeMeaning
UPDATE guild_core.action_meanings SET action_id = $2, until = $3 WHERE dedupe_key = $1 AND action_id = $4 RETURNING action_id;

-- name: insertAction
-- Of one caller or of many; lanes are in their order.
WITH asked AS MATERIALIZED (
  SELECT * FROM ROWS FROM (jsonb_to_recordset($1::jsonb) AS (
    id text, action_key text, dedupe_key text, invocation_id text, agent_id text, event_id text, trace_id text,
    causal_root text, causal_depth integer, chapter text, priority text, type text, connector text, target_system text,
    target text, args jsonb, args_hash text, autonomy integer, rule text, integrity text, confidentiality text,
    receipt jsonb, state text, reason text, marker text, next_at timestamptz, hold_until timestamptz, awaited boolean,
    expires_at timestamptz, provider text, model text, codex_commit text, created_at timestamptz
  )) WITH ORDINALITY AS a (
    id, action_key, dedupe_key, invocation_id, agent_id, event_id, trace_id, causal_root, causal_depth, chapter, priority,
    type, connector, target_system, target, args, args_hash, autonomy, rule, integrity, confidentiality, receipt, state,
    reason, marker, next_at, hold_until, awaited, expires_at, provider, model, codex_commit, created_at, nth
  )
), inserted AS (
  INSERT INTO guild_core.actions (
    id, action_key, dedupe_key, invocation_id, agent_id, event_id, trace_id, causal_root, causal_depth, chapter, priority,
    type, connector, target_system, target, args, args_hash, autonomy, rule, integrity, confidentiality, receipt, state,
    reason, marker, next_at, hold_until, awaited, expires_at, provider, model, codex_commit, created_at, updated_at,
    finished_at
  )
  SELECT
    id, action_key, dedupe_key, invocation_id, agent_id, event_id, trace_id, causal_root, causal_depth, chapter, priority,
    type, connector, target_system, target, args, args_hash, autonomy, rule, integrity, confidentiality, receipt, state,
    reason, marker, next_at, hold_until, awaited, expires_at, provider, model, codex_commit, created_at, created_at,
    CASE WHEN state = 'DENIED' THEN created_at END
  FROM asked ORDER BY nth
  ON CONFLICT (action_key) DO NOTHING
  RETURNING id
)
SELECT asked.nth, inserted.id FROM asked JOIN inserted ON inserted.id = asked.id;

-- name: receiptOf
SELECT id, receipt FROM guild_core.actions WHERE action_key = $1;

-- name: outcomes
-- Whoever ends one of them waits for our commit, and then finds the run suspended; or has ended it, and we see that.
SELECT id, state, reason, remote_id, remote_url FROM guild_core.actions WHERE id = ANY($1::text[])
ORDER BY array_position($1::text[], id) FOR SHARE;
