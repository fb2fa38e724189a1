-- Admission (design/runs.md 2): who may start now, who waits for whom, and what a tree of causes may still do.
-- Advisory locks (class, key), in memory only, each held until the transaction ends:
--   (20776, agent and key)  claims of one concurrency key: they count the runs one after another
--   (20777, agent and key)  dispatchers that decide about one concurrency key
--   (20778, root)           dispatchers that wake agents in one tree of causes
ALTER TABLE guild_core.invocations
  -- of `limits.concurrency` at the commit that woke the run; null: no limit
  ADD COLUMN slot_key         text,
  ADD COLUMN slots_max        integer CHECK (slots_max > 0),
  -- why it has not started, behind whom (a run, or the breaker of the agent), and when it is likely to
  ADD COLUMN held_at          timestamptz,
  ADD COLUMN held_by          text,
  ADD COLUMN held_reason      text,
  ADD COLUMN predicted_start  timestamptz,
  -- set: the run ends at its next edge, for this reason
  ADD COLUMN cancel           text,
  -- events that joined this run before it started, and the newest of them, which it works on
  ADD COLUMN coalesced        integer NOT NULL DEFAULT 0,
  ADD COLUMN latest_event_id  text REFERENCES guild_core.events (id),
  -- of a hand-off: what the giver left it, {tokens, cost_micros, autonomy, depth}
  ADD COLUMN handoff          jsonb;
CREATE INDEX invocations_slots ON guild_core.invocations (agent_id, slot_key) WHERE slot_key IS NOT NULL AND finished_at IS NULL;
CREATE INDEX invocations_held ON guild_core.invocations (held_at) WHERE held_at IS NOT NULL;

-- An agent that keeps failing. No row: it is well.
CREATE TABLE guild_core.agent_breakers (
  agent_id   varchar(100) PRIMARY KEY,
  failures   integer NOT NULL,
  opened_at  timestamptz NOT NULL,
  -- until then it rests; from then on one run at a time may show that it is well again
  retry_at   timestamptz NOT NULL,
  -- the failures have left their window: it counts no longer
  until      timestamptz NOT NULL,
  probe      text
);

-- Most urgent first.
CREATE FUNCTION guild_core.lanes() RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY['CRITICAL', 'HIGH', 'NORMAL', 'LOW', 'BACKGROUND'] $$;

-- Where a waiting run stands in line: by priority, then age. One lane is worth 30 s of waiting, as on the bus, so that nothing starves;
-- CRITICAL jumps every queue.
CREATE FUNCTION guild_core.place_in_line(priority text, queued_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
  SELECT queued_at + CASE priority WHEN 'CRITICAL' THEN interval '-10 years' WHEN 'HIGH' THEN interval '0'
    WHEN 'NORMAL' THEN interval '30 s' WHEN 'LOW' THEN interval '60 s' ELSE interval '90 s' END
$$;

-- May this run take a slot now? Called in the claim: the lock is held until its transaction ends, and each query here sees what was
-- committed before it, so claims of one key count one after another. A holder whose lease has lapsed frees its slot and is fenced off:
-- should it wake up after all, it changes nothing any more.
CREATE FUNCTION guild_core.slot_free(run text, agent text, slot text, slots integer, place timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE COST 100000 AS $$
DECLARE
  taken integer;
BEGIN
  PERFORM pg_advisory_xact_lock(20776, hashtext(agent || ' ' || slot));
  SELECT count(*) INTO taken
  FROM guild_core.invocations i
  WHERE i.agent_id = agent AND i.slot_key = slot AND i.finished_at IS NULL AND i.id <> run AND (
    (i.state = 'RUNNING' AND i.lease_until > clock_timestamp())
    OR (i.state IN ('QUEUED', 'ADMITTED') AND i.cancel IS NULL AND (i.not_before IS NULL OR i.not_before <= clock_timestamp())
      AND (guild_core.place_in_line(i.priority, i.queued_at), i.id) < (place, run)));
  IF taken >= slots THEN
    RETURN false;
  END IF;
  UPDATE guild_core.invocations i SET lease_epoch = i.lease_epoch + 1
  WHERE i.agent_id = agent AND i.slot_key = slot AND i.finished_at IS NULL AND i.id <> run
    AND i.state = 'RUNNING' AND i.lease_until <= clock_timestamp();
  RETURN true;
END
$$;

-- May a new run of an agent with a breaker start? One at a time once the pause is over.
CREATE FUNCTION guild_core.breaker_lets(run text, agent text) RETURNS boolean
LANGUAGE plpgsql VOLATILE COST 100000 AS $$
DECLARE
  breaker guild_core.agent_breakers;
BEGIN
  SELECT * INTO breaker FROM guild_core.agent_breakers b WHERE b.agent_id = agent FOR UPDATE;
  IF NOT FOUND OR breaker.until <= clock_timestamp() THEN
    RETURN true;
  END IF;
  IF breaker.retry_at > clock_timestamp() THEN
    RETURN false;
  END IF;
  IF breaker.probe <> run AND EXISTS (
    SELECT 1 FROM guild_core.invocations i WHERE i.id = breaker.probe AND i.state = 'RUNNING' AND i.lease_until > clock_timestamp()
  ) THEN
    RETURN false;
  END IF;
  UPDATE guild_core.agent_breakers b SET probe = run WHERE b.agent_id = agent;
  RETURN true;
END
$$;

-- What a dispatcher must know, and must find unchanged until it commits: the runs of trees, and the open runs of concurrency keys.
-- $1 roots, text[] as jsonb · $2 [{agent, key}]
CREATE FUNCTION guild_core.admission_facts(roots jsonb, slots jsonb)
RETURNS TABLE (kind text, agent_id text, key text, run text, state text, runs integer)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  lock_key integer;
BEGIN
  FOR lock_key IN SELECT DISTINCT hashtext(r) FROM jsonb_array_elements_text(roots) r ORDER BY 1 LOOP
    PERFORM pg_advisory_xact_lock(20778, lock_key);
  END LOOP;
  FOR lock_key IN SELECT DISTINCT hashtext((s ->> 'agent') || ' ' || (s ->> 'key')) FROM jsonb_array_elements(slots) s ORDER BY 1 LOOP
    PERFORM pg_advisory_xact_lock(20777, lock_key);
  END LOOP;
  -- Runs that wait stay waiting until we commit: an event must not join one that has just started without it.
  PERFORM 1 FROM guild_core.invocations i
  WHERE (i.agent_id, i.slot_key) IN (SELECT s ->> 'agent', s ->> 'key' FROM jsonb_array_elements(slots) s)
    AND i.finished_at IS NULL AND i.state IN ('QUEUED', 'ADMITTED')
  ORDER BY i.id FOR NO KEY UPDATE;
  RETURN QUERY
    SELECT 'tree', NULL::text, r.root, NULL::text, NULL::text,
      (SELECT count(*)::integer FROM guild_core.invocations i WHERE i.causal_root = r.root)
    FROM (SELECT DISTINCT x AS root FROM jsonb_array_elements_text(roots) x) r;
  RETURN QUERY
    SELECT 'slot', i.agent_id::text, i.slot_key, i.id, CASE WHEN i.attempts = 0 AND i.cancel IS NULL THEN 'WAITING' WHEN i.cancel IS NULL THEN 'STARTED' ELSE 'CANCELLED' END, 0
    FROM guild_core.invocations i
    WHERE (i.agent_id, i.slot_key) IN (SELECT s ->> 'agent', s ->> 'key' FROM jsonb_array_elements(slots) s) AND i.finished_at IS NULL
    ORDER BY guild_core.place_in_line(i.priority, i.queued_at), i.id;
END
$$;
