-- What a consumer holds of messages without a key is one row a claim, not one a message: claiming takes their deliveries away, settling
-- takes the row away. It was a new version of each delivery with two index entries, and then its deletion.
--
-- A message with a key is claimed in its row as before, where those behind it look for it; `take` leaves that to `claim` (0015), and a
-- server that began before this migration goes on with `claim` and `settle` alone. Claims of both kinds are numbered by one sequence.
-- A message that is open is either in `deliveries` or in one row of `held`, in every snapshot.
-- Advisory lock (20781, group): who takes from a group, and who delivers to it from the log: one at a time. Nobody waits for it to take:
-- its holder may be frozen while the answer travels, so whoever does not get it claims in rows.
CREATE TABLE guild_bus.held (
  group_id  integer NOT NULL,
  claim     bigint NOT NULL,
  due_at    timestamptz NOT NULL,
  messages  bigint[] NOT NULL,
  attempts  integer[] NOT NULL,
  -- of those that came back before: {message: its attempts}
  history   jsonb,
  PRIMARY KEY (group_id, claim)
) WITH (fillfactor = 70, toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.1);
ALTER TABLE guild_bus.held ALTER COLUMN messages SET STATISTICS 0, ALTER COLUMN attempts SET STATISTICS 0;
SELECT guild_core.without_json_statistics('guild_bus.held'::regclass);

-- Nothing reads it: who asks for topics asks for prefixes too.
DROP INDEX guild_bus.messages_topic;

-- What was held is open again, in its old place. A due time makes it wait for it.
CREATE FUNCTION guild_bus.put_back(p_group integer, p_messages bigint[], p_attempts integer[], p_histories jsonb[], p_dues timestamptz[])
RETURNS void LANGUAGE sql AS $$
  INSERT INTO guild_bus.deliveries (message, group_id, order_key, rank, lane, state, due_at, attempts, history)
  SELECT m.id, p_group, guild_bus.order_key(m.topic, m.key), guild_bus.rank(m.lane, coalesce(m.not_before, m.published_at)), m.lane,
         CASE WHEN b.due_at IS NULL THEN 'ready' ELSE 'delayed' END, b.due_at, b.attempts, b.history
  FROM unnest(p_messages, p_attempts, p_histories, p_dues) AS b (message, attempts, history, due_at)
  JOIN guild_bus.messages m ON m.id = b.message
  ON CONFLICT DO NOTHING
$$;

-- Claims whose consumer died. @returns how many messages may be claimed because of it
CREATE FUNCTION guild_bus.lapse(p_group integer, p_now timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_messages   bigint[];
  v_attempts   integer[];
  v_histories  jsonb[];
BEGIN
  WITH lapsed AS (
    -- One that is being settled at this moment is left to that: whoever settles may go on to take, and then waits for our lock.
    DELETE FROM guild_bus.held h
    WHERE h.group_id = p_group AND h.claim = ANY (ARRAY(
      SELECT l.claim FROM guild_bus.held l WHERE l.group_id = p_group AND l.due_at <= p_now FOR UPDATE SKIP LOCKED))
    RETURNING h.messages, h.attempts, h.history
  )
  SELECT array_agg(u.message), array_agg(u.attempt),
         array_agg(guild_bus.remember(l.history -> u.message::text, u.attempt, p_now, 'the claim lapsed'))
  INTO v_messages, v_attempts, v_histories
  FROM lapsed l, unnest(l.messages, l.attempts) AS u (message, attempt);
  PERFORM guild_bus.put_back(p_group, v_messages, v_attempts, v_histories, NULL);
  RETURN coalesce(cardinality(v_messages), 0);
END $$;

-- Claims up to p_max messages, best rank first, one per key. At least one row: with a null position it only says when to come again.
-- Who takes from a group does it alone, so that rows need not be locked before they are taken away; a second one claims in rows.
-- The planner is held to the indexes and to one row after another (see 0004); no plan depends on what it is asked for.
CREATE FUNCTION guild_bus.take(p_group integer, p_max integer, p_lease_ms integer, p_now timestamptz)
RETURNS TABLE ("position" bigint, claim bigint, held boolean, id text, topic text, key text, lane smallint, body text,
               published_at timestamptz, attempt integer, next_due_ms double precision)
LANGUAGE plpgsql SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  v_now     timestamptz;
  v_alone   boolean;
  v_held    timestamptz;
  v_due     timestamptz;
  v_due_ms  double precision;
  v_lapsed  integer := 0;
  v_count   integer := 0;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  v_alone := pg_try_advisory_xact_lock(20781, p_group);
  v_now := guild_bus.time(p_now);
  v_held := (SELECT min(h.due_at) FROM guild_bus.held h WHERE h.group_id = p_group);
  IF v_held <= v_now THEN
    v_lapsed := guild_bus.lapse(p_group, v_now);
    IF v_lapsed > p_max THEN PERFORM guild_bus.wake(ARRAY[p_group]); END IF;
    v_held := (SELECT min(h.due_at) FROM guild_bus.held h WHERE h.group_id = p_group);
  END IF;
  v_due := (SELECT d.due_at FROM guild_bus.deliveries d
            WHERE d.group_id = p_group AND d.state IN ('delayed', 'claimed') ORDER BY d.due_at LIMIT 1);

  IF v_alone AND (v_due IS NULL OR v_due > v_now) THEN
    v_due_ms := extract(epoch FROM least(v_held, v_due, v_now + p_lease_ms * interval '1 ms') - v_now) * 1000;
    RETURN QUERY
      WITH picked AS MATERIALIZED (
        SELECT d.ctid AS place, d.order_key IS NOT NULL AS keyed FROM guild_bus.deliveries d
        WHERE d.group_id = p_group AND d.state = 'ready' ORDER BY d.rank, d.message LIMIT p_max
      ), gone AS (
        DELETE FROM guild_bus.deliveries d USING picked p
        WHERE d.ctid = p.place AND d.state = 'ready' AND NOT EXISTS (SELECT 1 FROM picked k WHERE k.keyed)
        RETURNING d.message, d.attempts + 1 AS attempt, d.rank, d.history
      ), kept AS (
        INSERT INTO guild_bus.held (group_id, claim, due_at, messages, attempts, history)
        SELECT p_group, nextval('guild_bus.claims'), v_now + p_lease_ms * interval '1 ms', array_agg(g.message), array_agg(g.attempt),
               jsonb_object_agg(g.message, g.history) FILTER (WHERE g.history IS NOT NULL)
        FROM gone g HAVING count(*) > 0
        RETURNING claim
      )
      SELECT m.id, k.claim, true, m.message_id, m.topic, m.key, m.lane, m.body::text, m.published_at, g.attempt, v_due_ms
      FROM kept k, gone g JOIN guild_bus.messages m ON m.id = g.message
      ORDER BY g.rank, g.message;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count > 0 THEN RETURN; END IF;
    v_due_ms := extract(epoch FROM least(v_held, v_due) - v_now) * 1000;
    IF NOT EXISTS (SELECT 1 FROM guild_bus.deliveries d WHERE d.group_id = p_group AND d.state = 'ready') THEN
      RETURN QUERY SELECT NULL::bigint, NULL::bigint, NULL::boolean, NULL, NULL, NULL, NULL::smallint, NULL, NULL::timestamptz,
                          NULL::integer, v_due_ms;
      RETURN;
    END IF;
  END IF;

  -- Something is due, or has a key, or somebody else is taking.
  RETURN QUERY
    SELECT c."position", c.claim, false, c.id, c.topic, c.key, c.lane, c.body, c.published_at, c.attempt,
           least(c.next_due_ms, extract(epoch FROM v_held - v_now) * 1000)
    FROM guild_bus.claim(p_group, p_max, p_lease_ms, p_now) AS c;
END $$;

-- Dead letters of what is taken away already. A dead letter that dies itself stays in the log only.
CREATE FUNCTION guild_bus.write_letters(p_group integer, p_messages bigint[], p_attempts integer[], p_histories jsonb[], p_reasons text[],
                                        p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_ids     text[];
  v_lanes   smallint[];
  v_bodies  text;
BEGIN
  SELECT array_agg(m.message_id ORDER BY m.id), array_agg(m.lane ORDER BY m.id),
         string_agg(json_build_object('topic', m.topic, 'group', g.name, 'id', m.message_id, 'reason', d.reason, 'attempts', d.attempts,
                                      'history', d.history, 'body', m.body)::text, E'\x1e' ORDER BY m.id)
  INTO v_ids, v_lanes, v_bodies
  FROM unnest(p_messages, p_attempts, p_histories, p_reasons) AS d (message, attempts, history, reason)
  JOIN guild_bus.messages m ON m.id = d.message JOIN guild_bus.groups g ON g.id = p_group
  WHERE m.topic <> 'guild.dead';
  IF v_ids IS NOT NULL THEN
    PERFORM guild_bus.publish_many(array_fill('guild.dead'::text, ARRAY[cardinality(v_ids)]), v_ids,
                                   array_fill(NULL::text, ARRAY[cardinality(v_ids)]), v_lanes,
                                   array_fill(NULL::timestamptz, ARRAY[cardinality(v_ids)]), v_bodies, p_now, true);
  END IF;
END $$;

-- Of claims that still hold: those of p_others as they say, and all of p_messages and p_others out of their claims.
-- p_others: [{message, claim, kind: 'release' | 'return' | 'dead', delay_ms, reason}].
CREATE FUNCTION guild_bus.settle_part(p_group integer, p_messages bigint[], p_claims bigint[], p_others jsonb, p_now timestamptz,
                                      OUT settled integer, OUT ready integer) LANGUAGE plpgsql AS $$
DECLARE
  v_other     record;
  v_held      record;
  v_messages  bigint[] := p_messages;
  v_claims    bigint[] := p_claims;
  v_left      record;
BEGIN
  settled := 0;
  ready := 0;
  IF p_others IS NOT NULL THEN
    SELECT v_messages || array_agg(o.message), v_claims || array_agg(o.claim) INTO v_messages, v_claims
    FROM jsonb_to_recordset(p_others) AS o (message bigint, claim bigint);
  END IF;
  -- In their order, so that nobody waits for somebody who waits for him.
  PERFORM 1 FROM guild_bus.held h WHERE h.group_id = p_group AND h.claim = ANY (v_claims) ORDER BY h.claim FOR UPDATE;
  IF p_others IS NOT NULL THEN
    FOR v_other IN
      SELECT o.kind = 'dead' AS dead, o.kind = 'return' AND o.delay_ms > 0 AS later, array_agg(o.message) AS messages,
             array_agg(u.attempt - CASE o.kind WHEN 'release' THEN 1 ELSE 0 END) AS attempts, array_agg(o.reason) AS reasons,
             array_agg(CASE o.kind WHEN 'release' THEN h.history -> o.message::text
                       ELSE guild_bus.remember(h.history -> o.message::text, u.attempt, p_now, o.reason) END) AS histories,
             array_agg(CASE WHEN o.delay_ms > 0 THEN p_now + o.delay_ms * interval '1 ms' END) AS dues
      FROM jsonb_to_recordset(p_others) AS o (message bigint, claim bigint, kind text, delay_ms bigint, reason text)
      JOIN guild_bus.held h ON h.group_id = p_group AND h.claim = o.claim
      JOIN LATERAL unnest(h.messages, h.attempts) AS u (message, attempt) ON u.message = o.message
      GROUP BY 1, 2
    LOOP
      IF v_other.dead THEN
        PERFORM guild_bus.write_letters(p_group, v_other.messages, v_other.attempts, v_other.histories, v_other.reasons, p_now);
      ELSE
        PERFORM guild_bus.put_back(p_group, v_other.messages, v_other.attempts, v_other.histories, v_other.dues);
        IF NOT v_other.later THEN ready := ready + cardinality(v_other.messages); END IF;
      END IF;
    END LOOP;
  END IF;
  FOR v_held IN SELECT h.* FROM guild_bus.held h WHERE h.group_id = p_group AND h.claim = ANY (v_claims) LOOP
    SELECT array_agg(u.message) AS messages, array_agg(u.attempt) AS attempts INTO v_left
    FROM unnest(v_held.messages, v_held.attempts) AS u (message, attempt) WHERE u.message <> ALL (v_messages);
    settled := settled + cardinality(v_held.messages) - coalesce(cardinality(v_left.messages), 0);
    IF v_left.messages IS NULL THEN
      DELETE FROM guild_bus.held h WHERE h.group_id = p_group AND h.claim = v_held.claim;
    ELSE
      UPDATE guild_bus.held h SET messages = v_left.messages, attempts = v_left.attempts
      WHERE h.group_id = p_group AND h.claim = v_held.claim;
    END IF;
  END LOOP;
END $$;

-- Settles claims that still hold. p_whole: claims of which all that is left is acknowledged; p_messages and p_claims: what is acknowledged
-- of others; p_others: what is not. p_in_row_…: the same of claims in their rows.
-- @returns how many were settled, and how many messages may now be claimed because of it
CREATE FUNCTION guild_bus.settle_claims(p_group integer, p_whole bigint[], p_messages bigint[], p_claims bigint[], p_others jsonb,
                                        p_in_row_messages bigint[], p_in_row_claims bigint[], p_in_row_others jsonb,
                                        p_wake boolean, p_now timestamptz)
RETURNS TABLE (settled integer, ready integer)
LANGUAGE plpgsql SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  v_settled  integer;
  v_ready    integer;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  settled := 0;
  ready := 0;
  IF cardinality(p_whole) > 0 THEN
    WITH gone AS (DELETE FROM guild_bus.held h WHERE h.group_id = p_group AND h.claim = ANY (p_whole) RETURNING cardinality(h.messages) AS n)
    SELECT coalesce(sum(g.n), 0) INTO settled FROM gone g;
  END IF;
  IF cardinality(p_messages) > 0 OR p_others IS NOT NULL THEN
    SELECT p.settled, p.ready INTO v_settled, v_ready
    FROM guild_bus.settle_part(p_group, p_messages, p_claims, p_others, guild_bus.time(p_now)) AS p;
    settled := settled + v_settled;
    ready := ready + v_ready;
    IF p_wake AND v_ready > 0 THEN PERFORM guild_bus.wake(ARRAY[p_group]); END IF;
  END IF;
  IF cardinality(p_in_row_messages) > 0 OR p_in_row_others IS NOT NULL THEN
    SELECT s.settled, s.ready INTO v_settled, v_ready
    FROM guild_bus.settle(p_group, p_in_row_messages, p_in_row_claims, p_in_row_others, p_wake, p_now) AS s;
    settled := settled + v_settled;
    ready := ready + v_ready;
  END IF;
  RETURN NEXT;
END $$;

-- Settles, then takes: what a busy consumer does all the time.
CREATE FUNCTION guild_bus.settle_and_take(p_group integer, p_whole bigint[], p_messages bigint[], p_claims bigint[], p_others jsonb,
                                          p_in_row_messages bigint[], p_in_row_claims bigint[], p_in_row_others jsonb,
                                          p_max integer, p_lease_ms integer, p_now timestamptz)
RETURNS TABLE (settled integer, ready integer, "position" bigint, claim bigint, held boolean, id text, topic text, key text, lane smallint,
               body text, published_at timestamptz, attempt integer, next_due_ms double precision)
LANGUAGE plpgsql AS $$
DECLARE
  v_settled  integer;
  v_ready    integer;
BEGIN
  SELECT s.settled, s.ready INTO v_settled, v_ready
  FROM guild_bus.settle_claims(p_group, p_whole, p_messages, p_claims, p_others, p_in_row_messages, p_in_row_claims, p_in_row_others,
                               false, p_now) AS s;
  RETURN QUERY SELECT v_settled, v_ready, t.* FROM guild_bus.take(p_group, p_max, p_lease_ms, p_now) AS t;
END $$;

-- As before (0019_bus_rank.sql), but for what is held.
CREATE OR REPLACE FUNCTION guild_bus.deliver_log(p_group integer, p_topic text, p_from timestamptz, p_to timestamptz, p_now timestamptz)
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_count  integer;
BEGIN
  PERFORM pg_advisory_xact_lock(20781, p_group);
  INSERT INTO guild_bus.deliveries (message, group_id, order_key, rank, lane, state, due_at)
  SELECT m.id, p_group, guild_bus.order_key(m.topic, m.key), guild_bus.rank(m.lane, coalesce(m.not_before, m.published_at)), m.lane,
         CASE WHEN m.not_before > p_now THEN 'delayed' ELSE 'ready' END,
         CASE WHEN m.not_before > p_now THEN m.not_before END
  FROM guild_bus.messages m
  WHERE guild_bus.matches(p_topic, m.topic) AND m.published_at >= p_from AND m.published_at <= p_to
    AND m.id NOT IN (SELECT unnest(h.messages) FROM guild_bus.held h WHERE h.group_id = p_group)
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  PERFORM guild_bus.wake(ARRAY[p_group]);
  RETURN v_count;
END $$;

-- As before (0017_retention.sql), but for what is held.
CREATE OR REPLACE FUNCTION guild_bus.trim_next(p_topic text, p_older_than timestamptz, p_after bigint, p_max integer)
RETURNS TABLE (removed integer, last bigint) LANGUAGE plpgsql AS $$
DECLARE
  v_ids    bigint[];
  v_young  boolean;
BEGIN
  PERFORM pg_advisory_xact_lock(20774, 0);
  SELECT array_agg(n.id ORDER BY n.id), bool_or(n.published_at >= p_older_than) INTO v_ids, v_young
  FROM (SELECT m.id, m.published_at FROM guild_bus.messages m WHERE m.id > p_after ORDER BY m.id LIMIT p_max) n;
  DELETE FROM guild_bus.messages m
  WHERE m.id = ANY (v_ids) AND guild_bus.matches(p_topic, m.topic) AND m.published_at < p_older_than
    AND NOT EXISTS (SELECT 1 FROM guild_bus.deliveries d WHERE d.message = m.id)
    AND m.id NOT IN (SELECT unnest(h.messages) FROM guild_bus.held h);
  GET DIAGNOSTICS removed = ROW_COUNT;
  last := CASE WHEN NOT v_young AND cardinality(v_ids) = p_max THEN v_ids[p_max] END;
  RETURN NEXT;
END $$;

-- Planned once, as 0022 has it for settle.
DO $$
BEGIN
  IF version() !~* 'emscripten|emcc' THEN
    ALTER FUNCTION guild_bus.take(integer, integer, integer, timestamptz) SET plan_cache_mode = force_generic_plan;
    ALTER FUNCTION guild_bus.settle_claims(integer, bigint[], bigint[], bigint[], jsonb, bigint[], bigint[], jsonb, boolean, timestamptz)
      SET plan_cache_mode = force_generic_plan;
  END IF;
END $$;
