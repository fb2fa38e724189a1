-- The bus on PostgreSQL: an append-only log, and per group one row for every message the group has not acknowledged.
--
-- Each function is one round trip, and a transaction of several statements, so that every step sees what was committed before it.
-- Advisory locks (class, key), in memory only:
--   (20771, 0)      shared by publish, exclusive for a new group: the group either gets a message by publish or finds it in the log
--   (20772, group)  who may run next within a key; taken after row locks, and under it nobody waits for rows (no deadlock)
--   (20773, 0)      relay of the outbox: one at a time, which keeps the order per key
--   (20774, 0)      those who read the log to deliver from it, against those who trim it
CREATE SCHEMA guild_bus;

CREATE TABLE guild_bus.groups (
  id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic       text NOT NULL,
  name        text NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  UNIQUE (topic, name)
);

-- `body` is json, not jsonb: jsonb refuses \u0000 and lone surrogates, which senders are free to send.
CREATE TABLE guild_bus.messages (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic         text NOT NULL,
  message_id    text NOT NULL,
  key           text,
  lane          smallint NOT NULL,
  body          json NOT NULL,
  published_at  timestamptz NOT NULL,
  not_before    timestamptz
);
CREATE INDEX messages_topic ON guild_bus.messages (topic, id);
CREATE INDEX messages_time ON guild_bus.messages USING brin (published_at);

-- ready → claimed → (deleted | ready | delayed). A ready row found behind an earlier one of its key becomes blocked, once, and
-- whoever settles the earlier one makes it ready again; so a claim never wades through a backlog it may not touch.
CREATE TABLE guild_bus.deliveries (
  message    bigint NOT NULL,
  group_id   integer NOT NULL,
  order_key  bigint,
  rank       bigint NOT NULL,
  lane       smallint NOT NULL,
  state      text NOT NULL CHECK (state IN ('ready', 'blocked', 'delayed', 'claimed')),
  due_at     timestamptz,
  attempts   integer NOT NULL DEFAULT 0,
  claim      bigint,
  history    jsonb,
  PRIMARY KEY (message, group_id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.1);
CREATE INDEX deliveries_ready ON guild_bus.deliveries (group_id, rank, message) WHERE state = 'ready';
CREATE INDEX deliveries_due ON guild_bus.deliveries (group_id, due_at) WHERE state IN ('delayed', 'claimed');
CREATE INDEX deliveries_key ON guild_bus.deliveries (group_id, order_key, message) WHERE order_key IS NOT NULL;
CREATE INDEX deliveries_key_claimed ON guild_bus.deliveries (group_id, order_key)
  WHERE state = 'claimed' AND order_key IS NOT NULL;

CREATE SEQUENCE guild_bus.claims;

-- Rows the relay has taken and not yet deleted; lapses, so that a dead relay's rows are taken again.
ALTER TABLE guild_core.outbox ADD COLUMN claimed_until timestamptz;
CREATE INDEX outbox_claimed ON guild_core.outbox (claimed_until) WHERE claimed_until IS NOT NULL;

-- `guild.events.agent.*` matches every topic that begins with what stands before the star.
CREATE FUNCTION guild_bus.matches(pattern text, topic text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN right(pattern, 1) = '*' THEN starts_with(topic, left(pattern, -1)) ELSE topic = pattern END
$$;

-- Milliseconds; smaller goes first. A lane is worth 30 s of waiting, so the order of two messages never changes while they wait.
CREATE FUNCTION guild_bus.rank(lane smallint, since timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT (extract(epoch FROM since) * 1000)::bigint + lane * 30000
$$;

-- Two keys with one hash wait for each other, which is harmless.
CREATE FUNCTION guild_bus.order_key(topic text, key text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT hashtextextended(topic || chr(10) || key, 0)
$$;

CREATE FUNCTION guild_bus.time(given timestamptz) RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT date_trunc('milliseconds', coalesce(given, clock_timestamp()))
$$;

-- The last ten attempts.
CREATE FUNCTION guild_bus.remember(history jsonb, attempt integer, at timestamptz, reason text) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN jsonb_array_length(coalesce(history, '[]')) >= 10 THEN history - 0 ELSE coalesce(history, '[]') END
    || jsonb_build_object('attempt', attempt, 'at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'reason', reason)
$$;

CREATE FUNCTION guild_bus.wake(p_groups integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- A payload holds 8000 bytes; empty means everybody.
  IF cardinality(p_groups) > 0 THEN
    PERFORM pg_notify('guild_bus', CASE WHEN cardinality(p_groups) > 500 THEN '' ELSE array_to_string(p_groups, ',') END);
  END IF;
END $$;

CREATE FUNCTION guild_bus.publish(p_topic text, p_meta jsonb, p_bodies text[], p_now timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  v_now     timestamptz;
  v_groups  integer[];
BEGIN
  PERFORM pg_advisory_xact_lock_shared(20771, 0);
  v_now := guild_bus.time(p_now);
  SELECT coalesce(array_agg(g.id), '{}') INTO v_groups FROM guild_bus.groups g WHERE guild_bus.matches(g.topic, p_topic);
  WITH input AS (
    SELECT t.* FROM ROWS FROM (
      jsonb_to_recordset(p_meta) AS (id text, key text, lane smallint, not_before timestamptz),
      unnest(p_bodies)
    ) WITH ORDINALITY AS t (id, key, lane, not_before, body, place)
  ), logged AS (
    INSERT INTO guild_bus.messages (topic, message_id, key, lane, body, published_at, not_before)
    SELECT p_topic, i.id, i.key, i.lane, i.body::json, v_now, i.not_before FROM input i ORDER BY i.place
    RETURNING messages.id, messages.key, messages.lane, messages.not_before
  )
  INSERT INTO guild_bus.deliveries (message, group_id, order_key, rank, lane, state, due_at)
  SELECT l.id, g, guild_bus.order_key(p_topic, l.key), guild_bus.rank(l.lane, greatest(v_now, l.not_before)), l.lane,
         CASE WHEN l.not_before > v_now THEN 'delayed' ELSE 'ready' END,
         CASE WHEN l.not_before > v_now THEN l.not_before END
  FROM logged l CROSS JOIN unnest(v_groups) AS g;
  PERFORM guild_bus.wake(v_groups);
END $$;

-- Delivers what the log holds to one group; what the group still has open is left alone.
CREATE FUNCTION guild_bus.deliver_log(p_group integer, p_topic text, p_from timestamptz, p_to timestamptz, p_now timestamptz)
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_count  integer;
BEGIN
  INSERT INTO guild_bus.deliveries (message, group_id, order_key, rank, lane, state, due_at)
  SELECT m.id, p_group, guild_bus.order_key(m.topic, m.key), guild_bus.rank(m.lane, greatest(m.published_at, m.not_before)), m.lane,
         CASE WHEN m.not_before > p_now THEN 'delayed' ELSE 'ready' END,
         CASE WHEN m.not_before > p_now THEN m.not_before END
  FROM guild_bus.messages m
  WHERE guild_bus.matches(p_topic, m.topic) AND m.published_at >= p_from AND m.published_at <= p_to
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  PERFORM guild_bus.wake(ARRAY[p_group]);
  RETURN v_count;
END $$;

CREATE FUNCTION guild_bus.ensure_group(p_topic text, p_name text, p_from text, p_now timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
  v_id  integer;
BEGIN
  SELECT g.id INTO v_id FROM guild_bus.groups g WHERE g.topic = p_topic AND g.name = p_name;
  IF v_id IS NOT NULL THEN RETURN v_id; END IF;
  PERFORM pg_advisory_xact_lock(20774, 0);
  PERFORM pg_advisory_xact_lock(20771, 0);
  INSERT INTO guild_bus.groups (topic, name) VALUES (p_topic, p_name) ON CONFLICT DO NOTHING RETURNING id INTO v_id;
  IF v_id IS NULL THEN
    SELECT g.id INTO v_id FROM guild_bus.groups g WHERE g.topic = p_topic AND g.name = p_name;
  ELSIF p_from = 'earliest' THEN
    PERFORM guild_bus.deliver_log(v_id, p_topic, '-infinity', 'infinity', guild_bus.time(p_now));
  END IF;
  RETURN v_id;
END $$;

-- @returns null when no group of that name takes the topic
CREATE FUNCTION guild_bus.replay(p_topic text, p_name text, p_from timestamptz, p_to timestamptz, p_now timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(20774, 0);
  RETURN (
    SELECT sum(guild_bus.deliver_log(g.id, CASE WHEN guild_bus.matches(g.topic, rtrim(p_topic, '*')) THEN p_topic ELSE g.topic END,
                                     p_from, p_to, guild_bus.time(p_now)))
    FROM guild_bus.groups g
    WHERE g.name = p_name AND (guild_bus.matches(g.topic, rtrim(p_topic, '*')) OR guild_bus.matches(p_topic, rtrim(g.topic, '*')))
  );
END $$;

CREATE FUNCTION guild_bus.trim(p_topic text, p_older_than timestamptz, p_max integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_count  integer;
BEGIN
  PERFORM pg_advisory_xact_lock(20774, 0);
  DELETE FROM guild_bus.messages WHERE id IN (
    SELECT m.id FROM guild_bus.messages m
    WHERE guild_bus.matches(p_topic, m.topic) AND m.published_at < p_older_than
      AND NOT EXISTS (SELECT 1 FROM guild_bus.deliveries d WHERE d.message = m.id)
    LIMIT p_max
  );
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

-- The first message of each key may be claimed again.
CREATE FUNCTION guild_bus.unblock(p_group integer, p_keys bigint[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_count  integer;
BEGIN
  PERFORM pg_advisory_xact_lock(20772, p_group);
  UPDATE guild_bus.deliveries d SET state = 'ready'
  WHERE d.group_id = p_group AND d.state = 'blocked' AND d.message = ANY (ARRAY(
    SELECT (SELECT min(x.message) FROM guild_bus.deliveries x WHERE x.group_id = p_group AND x.order_key = k)
    FROM (SELECT DISTINCT unnest(p_keys) AS k) AS keys
  ));
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

-- Claims up to p_max messages, best rank first, one per key. At least one row: with a null position it only says when to come again.
-- The planner is held to the indexes: an embedded server never analyses, and a plan made for an empty table would be kept.
-- Plans with a path switched off look dear, hence without jit: compiling one takes a hundred times as long as running it.
-- Losing a claim or an acknowledgement in a crash of the server means one more delivery, so neither waits for the disk.
CREATE FUNCTION guild_bus.claim(p_group integer, p_max integer, p_lease_ms integer, p_now timestamptz)
RETURNS TABLE ("position" bigint, claim bigint, id text, topic text, key text, lane smallint, body text, published_at timestamptz,
               attempt integer, next_due_ms double precision)
LANGUAGE plpgsql SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
DECLARE
  v_now       timestamptz;
  v_claim     bigint;
  v_taken     bigint[] := '{}';
  v_picked    bigint[];
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
      UPDATE guild_bus.deliveries d SET state = 'blocked' WHERE d.group_id = p_group AND d.message = ANY (v_blocked);
      v_picked := ARRAY(SELECT m FROM unnest(v_picked) WITH ORDINALITY AS u (m, place) WHERE m <> ALL (v_blocked) ORDER BY place);
    END IF;

    v_left := cardinality(v_picked) > p_max - cardinality(v_taken);
    v_picked := v_picked[1:p_max - cardinality(v_taken)];
    v_claim := coalesce(v_claim, nextval('guild_bus.claims'));
    UPDATE guild_bus.deliveries d
    SET state = 'claimed', claim = v_claim, attempts = d.attempts + 1, due_at = v_now + p_lease_ms * interval '1 ms'
    WHERE d.group_id = p_group AND d.message = ANY (v_picked);
    v_taken := v_taken || v_picked;
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
    SELECT m.id, v_claim, m.message_id, m.topic, m.key, m.lane, m.body::text, m.published_at, d.attempts, v_due_ms
    FROM (SELECT 1) AS always
    LEFT JOIN (guild_bus.deliveries d JOIN guild_bus.messages m ON m.id = d.message)
      ON d.group_id = p_group AND d.message = ANY (v_taken)
    ORDER BY d.rank, d.message;
END $$;

-- Settles claims that still hold. p_others: [{message, claim, kind: 'release' | 'return' | 'dead', delay_ms, reason}].
-- @returns how many were settled, and how many messages may now be claimed because of it
CREATE FUNCTION guild_bus.settle(p_group integer, p_acks bigint[], p_ack_claims bigint[], p_others jsonb, p_wake boolean, p_now timestamptz)
RETURNS TABLE (settled integer, ready integer)
LANGUAGE plpgsql SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
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

  WITH acked AS (
    DELETE FROM guild_bus.deliveries d USING unnest(p_acks, p_ack_claims) AS a (message, claim)
    WHERE d.message = a.message AND d.group_id = p_group AND d.claim = a.claim
    RETURNING d.order_key
  )
  SELECT count(*), array_agg(a.order_key) FILTER (WHERE a.order_key IS NOT NULL) INTO settled, v_keys FROM acked a;

  IF p_others IS NOT NULL THEN
    WITH others AS (
      SELECT * FROM jsonb_to_recordset(p_others) AS o (message bigint, claim bigint, kind text, delay_ms bigint, reason text)
    ), returned AS (
      UPDATE guild_bus.deliveries d
      SET state = CASE WHEN o.delay_ms > 0 THEN 'delayed' ELSE 'ready' END, claim = NULL,
          due_at = CASE WHEN o.delay_ms > 0 THEN v_now + o.delay_ms * interval '1 ms' END,
          attempts = d.attempts - CASE o.kind WHEN 'release' THEN 1 ELSE 0 END,
          history = CASE o.kind WHEN 'release' THEN d.history ELSE guild_bus.remember(d.history, d.attempts, v_now, o.reason) END
      FROM others o
      WHERE o.kind <> 'dead' AND d.message = o.message AND d.group_id = p_group AND d.claim = o.claim
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

-- Removes the delivery and publishes the dead letter in one transaction. A dead letter that dies itself stays in the log only.
CREATE FUNCTION guild_bus.bury(p_group integer, p_others jsonb, p_now timestamptz, OUT settled integer, OUT keys bigint[])
LANGUAGE plpgsql AS $$
DECLARE
  v_meta    jsonb;
  v_bodies  text[];
BEGIN
  WITH dead AS (
    DELETE FROM guild_bus.deliveries d
    USING jsonb_to_recordset(p_others) AS o (message bigint, claim bigint, kind text, reason text)
    WHERE o.kind = 'dead' AND d.message = o.message AND d.group_id = p_group AND d.claim = o.claim
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

-- Takes the oldest rows of the outbox for one relay; none while another relay holds some.
CREATE FUNCTION guild_bus.claim_outbox(p_max integer, p_lease_ms integer)
RETURNS TABLE (id bigint, topic text, message jsonb) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  IF NOT pg_try_advisory_xact_lock(20773, 0) THEN RETURN; END IF;
  IF EXISTS (SELECT 1 FROM guild_core.outbox o WHERE o.claimed_until > clock_timestamp()) THEN RETURN; END IF;
  RETURN QUERY
    WITH oldest AS (SELECT o.id FROM guild_core.outbox o ORDER BY o.id LIMIT p_max FOR UPDATE SKIP LOCKED),
    taken AS (
      UPDATE guild_core.outbox o SET claimed_until = clock_timestamp() + p_lease_ms * interval '1 ms'
      FROM oldest WHERE o.id = oldest.id RETURNING o.id, o.topic, o.message
    )
    SELECT t.id, t.topic, t.message FROM taken t ORDER BY t.id;
END $$;
