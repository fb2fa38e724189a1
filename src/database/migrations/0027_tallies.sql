-- How many runs, actions and receptions there are by state, without reading them all: what is open is counted by the indexes of what is
-- open, and what is over is remembered here. Every change of that stands in `decisions` in the transaction that makes it (law 5), so
-- nothing need be written beside it: whoever wants the counts adds what was decided since the last look. Retention subtracts what it
-- removes; `guild doctor` counts the rows and compares.
CREATE TABLE guild_core.tallies (
  kind   varchar(20) NOT NULL CHECK (kind IN ('disposition', 'run', 'action')),
  label  varchar(40) NOT NULL,
  -- for a moment below zero where a row was removed before its decision was added
  count  bigint NOT NULL,
  PRIMARY KEY (kind, label)
);

-- Decisions up to `added` are in the tallies. Numbers are given out before they commit: those up to `ahead` are all there once no
-- transaction is left that began before `xid`, which is taken when every statement that was under way at `noted_at` has an id or is over.
CREATE TABLE guild_core.tally_mark (
  one       boolean PRIMARY KEY DEFAULT true CHECK (one),
  added     bigint NOT NULL,
  ahead     bigint,
  noted_at  timestamptz,
  xid       xid8
);

-- What the decisions of a range change. A run that a grant sets going again is not over; what is taken back is not done.
CREATE FUNCTION guild_core.tally_changes(p_after bigint, p_to bigint) RETURNS TABLE (kind text, label text, change bigint)
LANGUAGE sql STABLE AS $$
  WITH decided AS (
    SELECT d.stage, d.outcome, count(*) AS n FROM guild_core.decisions d
    WHERE d.id > p_after AND d.id <= p_to AND CASE d.stage
      WHEN 'dispatch' THEN d.agent_id IS NULL AND d.receipt_id IS NOT NULL
      WHEN 'run' THEN d.outcome IN ('COMPLETED', 'STOPPED', 'FAILED', 'DEAD')
      WHEN 'budget' THEN d.outcome = 'GRANTED' AND d.detail @> '{"resumed": true}'
      WHEN 'policy' THEN d.outcome IN ('denied', 'DENIED') AND d.action_id IS NOT NULL
      WHEN 'action' THEN d.outcome IN ('SUCCEEDED', 'SHADOWED', 'FAILED', 'EXPIRED', 'DENIED', 'UNDONE')
      WHEN 'approval' THEN d.outcome IN ('SUCCEEDED', 'FAILED', 'EXPIRED', 'DENIED') AND d.action_id IS NOT NULL
    END
    GROUP BY d.stage, d.outcome
  )
  SELECT c.kind, c.label, sum(c.change)::bigint
  FROM decided CROSS JOIN LATERAL (
    SELECT CASE decided.stage WHEN 'dispatch' THEN 'disposition' WHEN 'run' THEN 'run' WHEN 'budget' THEN 'run' ELSE 'action' END AS kind,
      CASE decided.stage WHEN 'budget' THEN 'STOPPED' WHEN 'policy' THEN 'DENIED' ELSE decided.outcome::text END AS label,
      CASE decided.stage WHEN 'budget' THEN -decided.n ELSE decided.n END AS change
    UNION ALL
    SELECT 'action', 'SUCCEEDED', -decided.n WHERE decided.stage = 'action' AND decided.outcome = 'UNDONE'
  ) c
  GROUP BY c.kind, c.label
$$;

-- Adds what is certain to be complete. One at a time; whoever comes in between does without. @returns decisions added
CREATE FUNCTION guild_core.add_tallies() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_mark  guild_core.tally_mark;
  v_last  bigint;
BEGIN
  SELECT * INTO v_mark FROM guild_core.tally_mark FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN 0; END IF;
  IF v_mark.xid IS NOT NULL THEN
    IF pg_snapshot_xmin(pg_current_snapshot()) < v_mark.xid THEN RETURN 0; END IF;
    INSERT INTO guild_core.tallies (kind, label, count)
    SELECT c.kind, c.label, c.change FROM guild_core.tally_changes(v_mark.added, v_mark.ahead) c ORDER BY c.kind, c.label
    ON CONFLICT (kind, label) DO UPDATE SET count = tallies.count + excluded.count;
    UPDATE guild_core.tally_mark SET added = v_mark.ahead, ahead = NULL, noted_at = NULL, xid = NULL;
    RETURN v_mark.ahead - v_mark.added;
  END IF;
  IF v_mark.ahead IS NULL THEN
    v_last := coalesce(pg_sequence_last_value(pg_get_serial_sequence('guild_core.decisions', 'id')::regclass), 0);
    -- Less is not worth a write.
    IF v_last >= v_mark.added + 1000 THEN UPDATE guild_core.tally_mark SET ahead = v_last, noted_at = clock_timestamp(); END IF;
  ELSIF clock_timestamp() > v_mark.noted_at + interval '30 seconds' THEN
    -- As long as a statement may take: a number is taken some microseconds before the transaction has an id.
    UPDATE guild_core.tally_mark SET xid = pg_snapshot_xmax(pg_current_snapshot());
  END IF;
  RETURN 0;
END $$;

-- What there is now. Nobody may decide meanwhile; whoever has begun is waited for. No other table is locked here, so that a writer who
-- waits for this one holds nothing that this transaction needs; the indexes follow in transactions of their own.
LOCK TABLE guild_core.decisions IN SHARE MODE;
INSERT INTO guild_core.tallies (kind, label, count)
SELECT 'disposition', disposition, count(*) FROM guild_core.receipts GROUP BY disposition
UNION ALL
SELECT 'run', state, count(*) FROM guild_core.invocations WHERE state IN ('COMPLETED', 'STOPPED', 'FAILED', 'DEAD') GROUP BY state
UNION ALL
SELECT 'action', state, count(*) FROM guild_core.actions
WHERE state IN ('SUCCEEDED', 'SHADOWED', 'FAILED', 'EXPIRED', 'DENIED', 'UNDONE') GROUP BY state;
INSERT INTO guild_core.tally_mark (added)
SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('guild_core.decisions', 'id')::regclass), 0);
