-- Publishing on many topics in one call. The bodies arrive as one text, parted by U+001E, which JSON never holds unescaped: an array of
-- them would be escaped by the sender and unescaped here, character by character. They are no part of p_meta, because a function that
-- reads JSON apart refuses \u0000 and lone surrogates, which senders are free to send.
-- p_meta: [{topic, id, key, lane, not_before}], in the order of the bodies.
CREATE FUNCTION guild_bus.publish_all(p_meta json, p_bodies text, p_now timestamptz) RETURNS void
LANGUAGE plpgsql SET jit = off AS $$
DECLARE
  v_now     timestamptz;
  v_ms      bigint;
  v_groups  integer[];
BEGIN
  PERFORM pg_advisory_xact_lock_shared(20771, 0);
  v_now := guild_bus.time(p_now);
  v_ms := extract(epoch FROM v_now) * 1000;
  WITH input AS (
    SELECT t.* FROM ROWS FROM (
      json_to_recordset(p_meta) AS (topic text, id text, key text, lane smallint, not_before timestamptz),
      string_to_table(p_bodies, E'\x1e')
    ) WITH ORDINALITY AS t (topic, id, key, lane, not_before, body, place)
  ), routes AS (
    SELECT t.topic, g.id AS group_id
    FROM (SELECT DISTINCT topic FROM input) t JOIN guild_bus.groups g ON guild_bus.matches(g.topic, t.topic)
  ), logged AS (
    INSERT INTO guild_bus.messages (topic, message_id, key, lane, body, published_at, not_before)
    SELECT i.topic, i.id, i.key, i.lane, i.body::json, v_now, i.not_before FROM input i ORDER BY i.place
    RETURNING messages.id, messages.topic, messages.key, messages.lane, messages.not_before
  ), sent AS (
    -- rank and order_key as their functions say, which would be called for each row instead of becoming part of the statement.
    INSERT INTO guild_bus.deliveries (message, group_id, order_key, rank, lane, state, due_at)
    SELECT l.id, r.group_id, hashtextextended(l.topic || chr(10) || l.key, 0),
           greatest(v_ms, (extract(epoch FROM l.not_before) * 1000)::bigint) + l.lane * 30000, l.lane,
           CASE WHEN l.not_before > v_now THEN 'delayed' ELSE 'ready' END,
           CASE WHEN l.not_before > v_now THEN l.not_before END
    FROM logged l JOIN routes r ON r.topic = l.topic
    RETURNING group_id
  )
  SELECT coalesce(array_agg(DISTINCT s.group_id), '{}') INTO v_groups FROM sent s;
  PERFORM guild_bus.wake(v_groups);
END $$;

-- As before (0004_bus.sql), with what the update knows kept instead of read again.
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

  WITH due AS (
    SELECT d.message, d.state FROM guild_bus.deliveries d
    WHERE d.group_id = p_group AND d.state IN ('delayed', 'claimed') AND d.due_at <= v_now
    ORDER BY d.due_at LIMIT 1000 FOR UPDATE SKIP LOCKED
  ), promoted AS (
    UPDATE guild_bus.deliveries d SET state = 'ready', claim = NULL, due_at = NULL,
      history = CASE due.state WHEN 'claimed' THEN guild_bus.remember(d.history, d.attempts, v_now, 'the claim lapsed') ELSE d.history END
    FROM due WHERE d.message = due.message AND d.group_id = p_group
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
