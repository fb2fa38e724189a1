-- What the dispatcher writes for each event, with a fourth fewer index entries: each of these was written for every event and read for few.

-- One index says that an agent wakes once for an event, and finds the runs of an event. No foreign key: the statement that writes a run has
-- just written its event, and who forgets an event forgets its runs in the same statement.
ALTER TABLE guild_core.invocations
  DROP CONSTRAINT invocations_event_id_fkey,
  DROP CONSTRAINT invocations_agent_id_event_id_key,
  ADD CONSTRAINT invocations_event_agent UNIQUE (event_id, agent_id);
DROP INDEX guild_core.invocations_event;

-- Most events are the root of their tree, and are found by their own id; only what follows from another needs to be found by its root.
DROP INDEX guild_core.events_root, guild_core.invocations_root;
CREATE INDEX events_root ON guild_core.events (causal_root) WHERE causal_root <> id;
CREATE INDEX invocations_root ON guild_core.invocations (causal_root) WHERE causal_root <> event_id;

-- Receptions are listed by time where they are no events of their own.
DROP INDEX guild_core.receipts_received;
CREATE INDEX receipts_received ON guild_core.receipts (received_at DESC, id DESC) WHERE disposition IN ('DUPLICATE', 'DEAD');

-- What woke a run is found by its event.
DROP INDEX guild_core.decisions_invocation;
CREATE INDEX decisions_invocation ON guild_core.decisions (invocation_id, id) WHERE invocation_id IS NOT NULL AND stage <> 'dispatch';

-- As before (0009_admission.sql), by these indexes.
CREATE OR REPLACE FUNCTION guild_core.admission_facts(roots jsonb, slots jsonb)
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
    SELECT 'tree', NULL::text, r.root, NULL::text, NULL::text, (
      (SELECT count(*) FROM guild_core.invocations i WHERE i.event_id = r.root AND i.causal_root = i.event_id)
      + (SELECT count(*) FROM guild_core.invocations i WHERE i.causal_root = r.root AND i.causal_root <> i.event_id))::integer
    FROM (SELECT DISTINCT x AS root FROM jsonb_array_elements_text(roots) x) r;
  RETURN QUERY
    SELECT 'slot', i.agent_id::text, i.slot_key, i.id, CASE WHEN i.attempts = 0 AND i.cancel IS NULL THEN 'WAITING' WHEN i.cancel IS NULL THEN 'STARTED' ELSE 'CANCELLED' END, 0
    FROM guild_core.invocations i
    WHERE (i.agent_id, i.slot_key) IN (SELECT s ->> 'agent', s ->> 'key' FROM jsonb_array_elements(slots) s) AND i.finished_at IS NULL
    ORDER BY guild_core.place_in_line(i.priority, i.queued_at), i.id;
END
$$;
