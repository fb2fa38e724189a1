-- The cache port on PostgreSQL (docs/cache.md): what may be lost and costs nobody data. UNLOGGED: a write waits for no disk, and a crash of
-- the server is what a flush is to Redis. A replica begins empty.
CREATE SCHEMA guild_cache;

-- One row per rate limit: the instant (ms since 1970) from which it is at rest. A used limit changes at every call, so its row stays in its
-- page (HOT): the expiry is rounded up to ten minutes and seldom changes.
CREATE UNLOGGED TABLE guild_cache.limits (
  key         text COLLATE "C" PRIMARY KEY,
  tat         double precision NOT NULL,
  expires_at  timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX limits_expiry ON guild_cache.limits (expires_at);

CREATE UNLOGGED TABLE guild_cache.entries (
  key         text COLLATE "C" PRIMARY KEY,
  value       text,
  fields      jsonb,
  expires_at  timestamptz NOT NULL,
  CHECK ((value IS NULL) <> (fields IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX entries_expiry ON guild_cache.entries (expires_at);

CREATE UNLOGGED TABLE guild_cache.counters (
  key           text COLLATE "C" PRIMARY KEY,
  -- NULL: to be counted anew
  count         bigint,
  -- whose turn it is to count, until when, and what ended meanwhile
  ticket        text,
  ticket_until  timestamptz,
  added         bigint NOT NULL DEFAULT 0,
  -- {operation: ms since 1970 at which its process is taken for dead}
  pending       jsonb NOT NULL DEFAULT '{}',
  expires_at    timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX counters_expiry ON guild_cache.counters (expires_at);

CREATE FUNCTION guild_cache.ms(at timestamptz) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$ SELECT (extract(epoch FROM at) * 1000)::double precision $$;

-- A key that is not there cannot be locked by its row.
CREATE FUNCTION guild_cache.lock(keys text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  number bigint;
BEGIN
  FOR number IN SELECT DISTINCT hashtextextended('guild.cache:' || k, 0) FROM unnest(keys) k ORDER BY 1 LOOP
    PERFORM pg_advisory_xact_lock(number);
  END LOOP;
END
$$;

-- $1 [{cost, wait, limits: [{key, unit, burst}]}], as WireRequest · $2 the time, NULL: that of the server. One row per request, in order.
-- The arithmetic of redis/take.lua and of the conformance suite's model.
CREATE FUNCTION guild_cache.take(requests jsonb, at timestamptz)
RETURNS TABLE (allowed boolean, wait_ms double precision, remaining double precision, retry_ms double precision, reset_ms double precision,
  bound_by text)
LANGUAGE plpgsql AS $$
DECLARE
  keys text[] := ARRAY(SELECT DISTINCT l ->> 'key' FROM jsonb_array_elements(requests) r, jsonb_array_elements(r -> 'limits') l);
  now_ms double precision;
  tats jsonb;
  used jsonb := '{}';
  request jsonb;
  item jsonb;
  tat double precision;
  slot double precision;
  own double precision;
  unit double precision;
BEGIN
  PERFORM guild_cache.lock(keys);
  -- After the wait for the lock: whoever had it may have used a later instant.
  now_ms := guild_cache.ms(coalesce(at, clock_timestamp()));
  SELECT coalesce(jsonb_object_agg(l.key, l.tat), '{}') INTO tats FROM guild_cache.limits l WHERE l.key = ANY(keys);
  FOR request IN SELECT r FROM jsonb_array_elements(requests) r LOOP
    slot := now_ms;
    bound_by := NULL;
    FOR item IN SELECT l FROM jsonb_array_elements(request -> 'limits') l LOOP
      unit := (item ->> 'unit')::double precision;
      tat := greatest(coalesce((tats ->> (item ->> 'key'))::double precision, 0), now_ms);
      own := tat + ((request ->> 'cost')::double precision - (item ->> 'burst')::double precision) * unit;
      IF own > slot + 0.001 THEN
        slot := own;
        bound_by := item ->> 'key';
      END IF;
    END LOOP;
    wait_ms := slot - now_ms;
    allowed := wait_ms <= (request ->> 'wait')::double precision + 0.001;
    retry_ms := CASE WHEN allowed THEN 0 ELSE wait_ms - (request ->> 'wait')::double precision END;
    remaining := NULL;
    reset_ms := 0;
    FOR item IN SELECT l FROM jsonb_array_elements(request -> 'limits') l LOOP
      unit := (item ->> 'unit')::double precision;
      tat := greatest(coalesce((tats ->> (item ->> 'key'))::double precision, 0), CASE WHEN allowed THEN slot ELSE now_ms END);
      IF allowed THEN
        tat := tat + (request ->> 'cost')::double precision * unit;
        tats := tats || jsonb_build_object(item ->> 'key', tat);
        used := used || jsonb_build_object(item ->> 'key', tat);
      END IF;
      remaining := least(remaining, greatest(0, floor((now_ms - tat) / unit + (item ->> 'burst')::double precision + 0.000001)));
      reset_ms := greatest(reset_ms, tat - now_ms);
    END LOOP;
    IF NOT allowed THEN
      wait_ms := 0;
    END IF;
    RETURN NEXT;
  END LOOP;
  INSERT INTO guild_cache.limits AS l (key, tat, expires_at)
  SELECT u.key, u.value::double precision,
    to_timestamp(ceil(greatest(u.value::double precision, guild_cache.ms(clock_timestamp())) / 600000 + 0.000001) * 600)
  FROM jsonb_each_text(used) u
  ON CONFLICT (key) DO UPDATE SET tat = excluded.tat, expires_at = excluded.expires_at;
END
$$;

-- The four moves of src/cache/counting.ts. What is past its time is as if it were not there.
CREATE FUNCTION guild_cache.counter_open(counter text, operation text, hold_ms double precision, rebuild_ms double precision, operations_max integer, turn text, at timestamptz)
RETURNS TABLE (kind text, count bigint, except_ids text[])
LANGUAGE plpgsql AS $$
DECLARE
  now_at timestamptz;
  now_ms double precision;
  state guild_cache.counters;
  alive jsonb;
BEGIN
  PERFORM guild_cache.lock(ARRAY[counter]);
  now_at := coalesce(at, clock_timestamp());
  now_ms := guild_cache.ms(now_at);
  SELECT * INTO state FROM guild_cache.counters c WHERE c.key = counter AND c.expires_at > now_at;
  IF NOT FOUND THEN
    state.added := 0;
    state.pending := '{}';
  END IF;
  SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}') INTO alive FROM jsonb_each(state.pending) p
  WHERE (p.value #>> '{}')::double precision > now_ms;
  IF alive <> state.pending THEN
    state.pending := alive;
    state.count := NULL;
    state.ticket := NULL;
  END IF;
  count := state.count;
  kind := 'open';
  IF state.count IS NULL THEN
    IF state.ticket IS NOT NULL AND state.ticket_until > now_at THEN
      kind := 'wait';
    ELSE
      kind := 'rebuild';
      except_ids := ARRAY(SELECT jsonb_object_keys(state.pending));
      state.ticket := turn;
      state.ticket_until := now_at + rebuild_ms * interval '1 ms';
      state.added := 0;
    END IF;
  ELSIF operation IS NOT NULL THEN
    IF (SELECT count(*) FROM jsonb_object_keys(state.pending)) >= operations_max THEN
      kind := 'wait';
    ELSE
      state.pending := state.pending || jsonb_build_object(operation, now_ms + hold_ms);
    END IF;
  END IF;
  INSERT INTO guild_cache.counters AS c (key, count, ticket, ticket_until, added, pending, expires_at)
  VALUES (counter, state.count, state.ticket, state.ticket_until, state.added, state.pending,
    greatest(coalesce(state.expires_at, now_at), CASE WHEN state.count IS NULL THEN now_at + (hold_ms + rebuild_ms) * interval '1 ms' END))
  ON CONFLICT (key) DO UPDATE SET count = excluded.count, ticket = excluded.ticket, ticket_until = excluded.ticket_until,
    added = excluded.added, pending = excluded.pending, expires_at = excluded.expires_at;
  RETURN NEXT;
END
$$;

-- A NULL count gives the turn back.
CREATE FUNCTION guild_cache.counter_fill(counter text, turn text, rows bigint, ttl_ms double precision, at timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM guild_cache.lock(ARRAY[counter]);
  UPDATE guild_cache.counters c SET count = rows + c.added, ticket = NULL, ticket_until = NULL, added = 0,
    expires_at = CASE WHEN rows IS NULL THEN c.expires_at ELSE coalesce(at, clock_timestamp()) + ttl_ms * interval '1 ms' END
  WHERE c.key = counter AND c.ticket = turn AND c.expires_at > coalesce(at, clock_timestamp());
  RETURN FOUND;
END
$$;

CREATE FUNCTION guild_cache.counter_settle(counter text, operation text, rows bigint, at timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  counted bigint;
BEGIN
  PERFORM guild_cache.lock(ARRAY[counter]);
  UPDATE guild_cache.counters c SET
    pending = c.pending - operation,
    count = CASE WHEN rows IS NOT NULL AND c.pending ? operation THEN c.count + rows END,
    added = CASE WHEN c.ticket IS NOT NULL AND rows IS NOT NULL AND c.pending ? operation THEN c.added + rows ELSE 0 END,
    ticket = CASE WHEN rows IS NOT NULL AND c.pending ? operation THEN c.ticket END
  WHERE c.key = counter AND c.expires_at > coalesce(at, clock_timestamp()) AND (rows IS DISTINCT FROM 0 OR c.pending ? operation)
  RETURNING c.count INTO counted;
  RETURN counted;
END
$$;
