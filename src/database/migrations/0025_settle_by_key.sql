-- What is settled is found by its key, whatever the planner believes of the table. A queue is empty most of the time, and a vacuum or an
-- analysis that comes then says so: joining what is settled with a table of no rows, the planner read the whole table for each batch,
-- and compared each row of it with each message of the batch. Twenty thousand messages took 27 s instead of half a second, and a
-- backlog would have taken the square of its length. `message = ANY (…)` leaves it one way, the primary key.
CREATE OR REPLACE FUNCTION guild_bus.settle(p_group integer, p_acks bigint[], p_ack_claims bigint[], p_others jsonb, p_wake boolean, p_now timestamptz)
RETURNS TABLE (settled integer, ready integer)
LANGUAGE plpgsql SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  v_of        record;
  v_others    bigint[];
  v_now       timestamptz;
  v_keys      bigint[];
  v_more      bigint[];
  v_count     integer;
  v_released  integer;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  v_now := guild_bus.time(p_now);
  settled := 0;
  ready := 0;

  -- One statement for the messages of one claim: a consumer gives back a batch of one, or of a few.
  FOR v_of IN
    SELECT a.claim, array_agg(a.message) AS messages FROM unnest(p_acks, p_ack_claims) AS a (message, claim) GROUP BY a.claim
  LOOP
    WITH acked AS (
      DELETE FROM guild_bus.deliveries d
      WHERE d.message = ANY (v_of.messages) AND d.group_id = p_group AND d.claim = v_of.claim
      RETURNING d.order_key
    )
    SELECT count(*), array_agg(a.order_key) FILTER (WHERE a.order_key IS NOT NULL) INTO v_count, v_more FROM acked a;
    settled := settled + v_count;
    v_keys := v_keys || v_more;
  END LOOP;

  IF p_others IS NOT NULL THEN
    v_others := ARRAY(SELECT o.message FROM jsonb_to_recordset(p_others) AS o (message bigint));
    WITH others AS (
      SELECT * FROM jsonb_to_recordset(p_others) AS o (message bigint, claim bigint, kind text, delay_ms bigint, reason text)
    ), returned AS (
      UPDATE guild_bus.deliveries d
      SET state = CASE WHEN o.delay_ms > 0 THEN 'delayed' ELSE 'ready' END, claim = NULL,
          due_at = CASE WHEN o.delay_ms > 0 THEN v_now + o.delay_ms * interval '1 ms' END,
          attempts = d.attempts - CASE o.kind WHEN 'release' THEN 1 ELSE 0 END,
          history = CASE o.kind WHEN 'release' THEN d.history ELSE guild_bus.remember(d.history, d.attempts, v_now, o.reason) END
      FROM others o
      WHERE o.kind <> 'dead' AND d.message = ANY (v_others) AND d.message = o.message AND d.group_id = p_group AND d.claim = o.claim
      RETURNING d.order_key, d.state
    )
    SELECT count(*), count(*) FILTER (WHERE r.state = 'ready'), array_agg(r.order_key) FILTER (WHERE r.order_key IS NOT NULL)
    INTO v_count, v_released, v_more FROM returned r;
    settled := settled + v_count;
    ready := v_released;
    v_keys := v_keys || v_more;
    SELECT b.settled, b.keys INTO v_count, v_more FROM guild_bus.bury(p_group, p_others, v_now) AS b;
    settled := settled + v_count;
    v_keys := v_keys || v_more;
  END IF;

  IF v_keys IS NOT NULL THEN ready := ready + guild_bus.unblock(p_group, v_keys); END IF;
  IF p_wake AND ready > 0 THEN PERFORM guild_bus.wake(ARRAY[p_group]); END IF;
  RETURN NEXT;
END $$;

CREATE OR REPLACE FUNCTION guild_bus.bury(p_group integer, p_others jsonb, p_now timestamptz, OUT settled integer, OUT keys bigint[])
LANGUAGE plpgsql AS $$
DECLARE
  v_others  bigint[] := ARRAY(SELECT o.message FROM jsonb_to_recordset(p_others) AS o (message bigint));
  v_meta    jsonb;
  v_bodies  text[];
BEGIN
  WITH dead AS (
    DELETE FROM guild_bus.deliveries d
    USING jsonb_to_recordset(p_others) AS o (message bigint, claim bigint, kind text, reason text)
    WHERE o.kind = 'dead' AND d.message = ANY (v_others) AND d.message = o.message AND d.group_id = p_group AND d.claim = o.claim
    RETURNING d.message, d.order_key, d.attempts, o.reason, guild_bus.remember(d.history, d.attempts, p_now, o.reason) AS history
  ), letters AS (
    SELECT m.id, m.topic, jsonb_build_object('id', m.message_id, 'lane', m.lane) AS meta,
           json_build_object('topic', m.topic, 'group', g.name, 'id', m.message_id, 'reason', d.reason, 'attempts', d.attempts,
                             'history', d.history, 'body', m.body)::text AS body
    FROM dead d JOIN guild_bus.messages m ON m.id = d.message JOIN guild_bus.groups g ON g.id = p_group
    WHERE m.topic <> 'guild.dead'
  )
  SELECT (SELECT count(*) FROM dead), (SELECT array_agg(d.order_key) FROM dead d WHERE d.order_key IS NOT NULL),
         (SELECT jsonb_agg(l.meta ORDER BY l.id) FROM letters l), (SELECT array_agg(l.body ORDER BY l.id) FROM letters l)
  INTO settled, keys, v_meta, v_bodies;
  IF v_meta IS NOT NULL THEN PERFORM guild_bus.publish('guild.dead', v_meta, v_bodies, p_now); END IF;
END $$;

-- Planned once, but not in the embedded engine: as 0022 and 0024 say.
DO $$
BEGIN
  IF version() !~* 'emscripten|emcc' THEN
    ALTER FUNCTION guild_bus.settle(integer, bigint[], bigint[], jsonb, boolean, timestamptz) SET plan_cache_mode = force_generic_plan;
  END IF;
END $$;
