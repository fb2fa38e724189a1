-- name: setBorder
INSERT INTO guild_core.retention AS r (name, border) VALUES ('events', $1)
ON CONFLICT (name) DO UPDATE SET border = greatest(r.border, excluded.border);

-- name: addTallies
-- Decisions are kept until they are counted.
SELECT guild_core.add_tallies();

-- name: nextEvents
-- $1 border · $2, $3 the last event looked at · $4 rows at most
SELECT id, to_char(received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS received_at FROM guild_core.events
WHERE received_at < $1 AND (received_at, id) > ($2::timestamptz, $3)
ORDER BY received_at, id
LIMIT $4;

-- name: forget
-- All that these events ($1) led to, unless some of it is still open. The rows of events and steps go with their parts; what lay in the
-- rest goes here.
WITH asked AS MATERIALIZED (
  SELECT id FROM unnest($1::text[]) AS e (id)
), runs_of AS MATERIALIZED (
  SELECT i.id, i.event_id, i.finished_at FROM guild_core.invocations i
  WHERE i.event_id IN (SELECT id FROM asked)
), open AS MATERIALIZED (
  SELECT event_id AS id FROM runs_of r WHERE finished_at IS NULL
    OR EXISTS (SELECT FROM guild_core.actions a WHERE a.invocation_id = r.id AND a.finished_at IS NULL)
  UNION
  SELECT latest_event_id FROM guild_core.invocations WHERE latest_event_id IN (SELECT id FROM asked) AND finished_at IS NULL
  UNION
  SELECT event_id FROM guild_core.actions WHERE event_id IN (SELECT id FROM asked) AND finished_at IS NULL
), gone AS MATERIALIZED (
  SELECT id FROM asked EXCEPT SELECT id FROM open
), runs AS MATERIALIZED (
  SELECT id FROM runs_of WHERE event_id IN (SELECT id FROM gone)
), acts AS MATERIALIZED (
  SELECT id FROM guild_core.actions WHERE event_id IN (SELECT id FROM gone)
  UNION
  SELECT id FROM guild_core.actions WHERE invocation_id IN (SELECT id FROM runs)
), approvals AS (
  DELETE FROM guild_core.approvals WHERE action_id IN (SELECT id FROM acts) RETURNING 1
), actions AS (
  DELETE FROM guild_core.actions WHERE id IN (SELECT id FROM acts) RETURNING state
), decisions AS (
  DELETE FROM guild_core.decisions WHERE event_id IN (SELECT id FROM gone) AND id <= (SELECT added FROM guild_core.tally_mark) RETURNING 1
), invocations AS (
  DELETE FROM guild_core.invocations WHERE id IN (SELECT id FROM runs) RETURNING state
), receipts AS (
  DELETE FROM guild_core.receipts WHERE event_id IN (SELECT id FROM gone) OR duplicate_of IN (SELECT id FROM gone) RETURNING disposition
), tallied AS (
  -- Nothing of it was open, so all of it is in the tallies (0027_tallies.sql). One order for all who change them.
  INSERT INTO guild_core.tallies (kind, label, count)
  SELECT kind, label, -count(*) FROM (
    SELECT 'disposition' AS kind, disposition AS label FROM receipts
    UNION ALL SELECT 'run', state FROM invocations
    UNION ALL SELECT 'action', state FROM actions
  ) removed GROUP BY kind, label ORDER BY kind, label
  ON CONFLICT (kind, label) DO UPDATE SET count = tallies.count + excluded.count
), keys AS (
  DELETE FROM guild_core.event_keys WHERE id IN (SELECT id FROM gone) RETURNING 1
), rest_events AS (
  DELETE FROM guild_core.events_rest WHERE id IN (SELECT id FROM gone)
), rest_steps AS (
  DELETE FROM guild_core.run_steps_rest WHERE invocation_id IN (SELECT id FROM runs)
)
SELECT (SELECT count(*) FROM keys) AS events, (SELECT count(*) FROM receipts) AS receipts, (SELECT count(*) FROM decisions) AS decisions,
  (SELECT count(*) FROM invocations) AS invocations, (SELECT count(*) FROM actions) AS actions,
  (SELECT count(*) FROM approvals) AS approvals;

-- name: keptEvents
-- What is left of a part after its stories were forgotten: what is still open.
SELECT e.id FROM guild_core.events e JOIN guild_core.event_keys k ON k.id = e.id WHERE e.received_at >= $1 AND e.received_at < $2;

-- name: openRuns
SELECT i.id FROM guild_core.invocations i
WHERE i.made_at >= $1 AND i.made_at < $2
  AND (i.finished_at IS NULL OR EXISTS (SELECT FROM guild_core.actions a WHERE a.invocation_id = i.id AND a.finished_at IS NULL));

-- name: restSteps
-- Steps that were kept in the rest because their run was open, and it no longer is. $1 border · $2 rows at most
DELETE FROM guild_core.run_steps_rest WHERE ctid = ANY (ARRAY(
  SELECT s.ctid FROM guild_core.run_steps_rest s
  WHERE s.run_at < $1 AND NOT EXISTS (
    SELECT FROM guild_core.invocations i WHERE i.id = s.invocation_id
      AND (i.finished_at IS NULL OR EXISTS (SELECT FROM guild_core.actions a WHERE a.invocation_id = i.id AND a.finished_at IS NULL)))
  LIMIT $2));

-- name: looseDecisions
-- About no event, or about one that is gone. By age, which their numbers follow. $1 border · $2 rows at most
DELETE FROM guild_core.decisions WHERE id IN (
  SELECT d.id FROM (SELECT id, at, event_id FROM guild_core.decisions ORDER BY id LIMIT $2) d
  WHERE d.at < $1 AND d.id <= (SELECT added FROM guild_core.tally_mark) AND NOT EXISTS (SELECT FROM guild_core.event_keys k WHERE k.id = d.event_id));

-- name: looseReceipts
-- Of messages that were no events, and repetitions of what is gone.
WITH gone AS (
  DELETE FROM guild_core.receipts WHERE id IN (
    SELECT r.id FROM guild_core.receipts r
    WHERE r.disposition IN ('DUPLICATE', 'DEAD') AND r.received_at < $1 AND NOT EXISTS (SELECT FROM guild_core.event_keys k WHERE k.id = coalesce(r.duplicate_of, r.event_id))
    ORDER BY r.received_at LIMIT $2)
  RETURNING disposition
), tallied AS (
  INSERT INTO guild_core.tallies (kind, label, count)
  SELECT 'disposition', disposition, -count(*) FROM gone GROUP BY disposition ORDER BY disposition
  ON CONFLICT (kind, label) DO UPDATE SET count = tallies.count + excluded.count
)
SELECT 1 FROM gone;

-- name: oldMeanings
DELETE FROM guild_core.action_meanings WHERE dedupe_key IN (
  SELECT dedupe_key FROM guild_core.action_meanings WHERE until < $1 ORDER BY until LIMIT $2);

-- name: oldLinks
DELETE FROM guild_core.sign_in_links WHERE token_hash IN (SELECT token_hash FROM guild_core.sign_in_links WHERE expires_at < $1 LIMIT $2);

-- name: vacuum
VACUUM (ANALYZE) guild_core.event_keys, guild_core.receipts, guild_core.decisions, guild_core.invocations, guild_core.actions, guild_core.approvals
