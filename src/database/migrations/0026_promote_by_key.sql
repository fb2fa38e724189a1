-- What has fallen due is found by its key as well, whatever the planner believes of the table (0025_settle_by_key.sql): of a long queue
-- that was last seen empty, each look at a thousand claims of a consumer that died would have read all.
CREATE OR REPLACE FUNCTION guild_bus.claim(p_group integer, p_max integer, p_lease_ms integer, p_now timestamptz)
RETURNS TABLE ("position" bigint, claim bigint, id text, topic text, key text, lane smallint, body text, published_at timestamptz,
               attempt integer, next_due_ms double precision)
LANGUAGE plpgsql SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
DECLARE
  v_now       timestamptz;
  v_claim     bigint;
  v_taken     bigint[] := '{}';
  v_attempts  integer[] := '{}';
  v_ranks     bigint[] := '{}';
  v_picked    bigint[];
  v_claimed   record;
  v_blocked   bigint[];
  v_keys      bigint[];
  v_keyed     boolean;
  v_promoted  integer;
  v_left      boolean := false;
  v_more      boolean := true;
  v_due_ms    double precision := 0;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  v_now := guild_bus.time(p_now);

  WITH promoted AS (
    UPDATE guild_bus.deliveries d SET state = 'ready', claim = NULL, due_at = NULL,
      history = CASE d.state WHEN 'claimed' THEN guild_bus.remember(d.history, d.attempts, v_now, 'the claim lapsed') ELSE d.history END
    WHERE d.group_id = p_group AND d.message = ANY (ARRAY(
      SELECT x.message FROM guild_bus.deliveries x
      WHERE x.group_id = p_group AND x.state IN ('delayed', 'claimed') AND x.due_at <= v_now
      ORDER BY x.due_at LIMIT 1000 FOR UPDATE SKIP LOCKED
    ))
    RETURNING d.order_key
  )
  SELECT count(*), array_agg(p.order_key) FILTER (WHERE p.order_key IS NOT NULL) INTO v_promoted, v_keys FROM promoted p;
  IF v_keys IS NOT NULL THEN PERFORM guild_bus.unblock(p_group, v_keys); END IF;

  FOR v_round IN 1..20 LOOP
    -- The first look takes what is wanted; when that was not enough, further looks are wider.
    SELECT array_agg(p.message ORDER BY p.rank, p.message), bool_or(p.order_key IS NOT NULL) INTO v_picked, v_keyed
    FROM (
      SELECT d.message, d.rank, d.order_key FROM guild_bus.deliveries d
      WHERE d.group_id = p_group AND d.state = 'ready'
      ORDER BY d.rank, d.message
      LIMIT CASE v_round WHEN 1 THEN p_max ELSE greatest(p_max, 200) END FOR UPDATE SKIP LOCKED
    ) AS p;
    v_more := v_picked IS NOT NULL;
    EXIT WHEN NOT v_more;

    v_blocked := '{}';
    IF v_keyed THEN
      PERFORM pg_advisory_xact_lock(20772, p_group);
      v_blocked := ARRAY(
        SELECT d.message FROM guild_bus.deliveries d
        WHERE d.group_id = p_group AND d.message = ANY (v_picked) AND d.order_key IS NOT NULL AND (
          EXISTS (SELECT 1 FROM guild_bus.deliveries x
                  WHERE x.group_id = p_group AND x.order_key = d.order_key AND x.message < d.message)
          OR EXISTS (SELECT 1 FROM guild_bus.deliveries x
                     WHERE x.group_id = p_group AND x.order_key = d.order_key AND x.state = 'claimed')
        )
      );
      IF cardinality(v_blocked) > 0 THEN
        UPDATE guild_bus.deliveries d SET state = 'blocked' WHERE d.group_id = p_group AND d.message = ANY (v_blocked);
        v_picked := ARRAY(SELECT m FROM unnest(v_picked) WITH ORDINALITY AS u (m, place) WHERE m <> ALL (v_blocked) ORDER BY place);
      END IF;
    END IF;

    v_left := cardinality(v_picked) > p_max - cardinality(v_taken);
    v_picked := v_picked[1:p_max - cardinality(v_taken)];
    v_claim := coalesce(v_claim, nextval('guild_bus.claims'));
    WITH claimed AS (
      UPDATE guild_bus.deliveries d
      SET state = 'claimed', claim = v_claim, attempts = d.attempts + 1, due_at = v_now + p_lease_ms * interval '1 ms'
      WHERE d.group_id = p_group AND d.message = ANY (v_picked)
      RETURNING d.message, d.attempts, d.rank
    )
    SELECT array_agg(c.message) AS taken, array_agg(c.attempts) AS attempts, array_agg(c.rank) AS ranks INTO v_claimed FROM claimed c;
    v_taken := v_taken || v_claimed.taken;
    v_attempts := v_attempts || v_claimed.attempts;
    v_ranks := v_ranks || v_claimed.ranks;
    EXIT WHEN cardinality(v_taken) >= p_max;
    v_more := cardinality(v_blocked) > 0;
    EXIT WHEN NOT v_more;
  END LOOP;

  -- Others have skipped the rows that were locked here and are left over.
  IF v_left OR v_promoted > p_max THEN PERFORM guild_bus.wake(ARRAY[p_group]); END IF;
  IF NOT v_more THEN
    SELECT extract(epoch FROM min(d.due_at) - v_now) * 1000 INTO v_due_ms
    FROM guild_bus.deliveries d WHERE d.group_id = p_group AND d.state IN ('delayed', 'claimed');
  END IF;
  RETURN QUERY
    SELECT m.id, v_claim, m.message_id, m.topic, m.key, m.lane, m.body::text, m.published_at, t.attempts, v_due_ms
    FROM (SELECT 1) AS always
    LEFT JOIN (unnest(v_taken, v_attempts, v_ranks) AS t (message, attempts, rank)
      JOIN guild_bus.messages m ON m.id = t.message) ON true
    ORDER BY t.rank, t.message;
END $$;
