-- Hold windows, undo, await, and what a target looked like (design: runs 4, 5, 10).
ALTER TABLE guild_core.actions
  ADD COLUMN hold_until    timestamptz,
  -- a run that has let go of its lease waits for the outcome
  ADD COLUMN awaited       boolean NOT NULL DEFAULT false,
  ADD COLUMN undo_of       text REFERENCES guild_core.actions (id),
  -- the person who asked for it; null: an agent
  ADD COLUMN requested_by  text,
  -- what the decision was made on: a target that looks different now needs a new one; null: nothing to compare
  ADD COLUMN expected      jsonb,
  -- what the target was when the call went out, and what the call makes of it
  ADD COLUMN before        jsonb,
  ADD COLUMN after         jsonb;
CREATE UNIQUE INDEX actions_one_undo ON guild_core.actions (undo_of)
  WHERE undo_of IS NOT NULL AND state NOT IN ('FAILED', 'DENIED', 'EXPIRED', 'SHADOWED');

-- A held action keeps its place in its lane.
DROP INDEX guild_core.actions_open;
CREATE INDEX actions_open ON guild_core.actions (connector, target, lane)
  WHERE state IN ('HELD', 'READY', 'EXECUTING', 'RETRY', 'AMBIGUOUS', 'PROBING');
DROP INDEX guild_core.actions_due;
CREATE INDEX actions_due ON guild_core.actions (next_at)
  WHERE state IN ('HELD', 'READY', 'EXECUTING', 'RETRY', 'AMBIGUOUS', 'PROBING');

ALTER TABLE guild_core.approvals
  -- hold: it goes by itself when the window ends, unless a person stops it
  ADD COLUMN kind    varchar(10) NOT NULL DEFAULT 'ask' CHECK (kind IN ('ask', 'hold')),
  -- what the person was shown: the target as it was, and as it would be
  ADD COLUMN before  jsonb,
  ADD COLUMN after   jsonb,
  ADD COLUMN seen_at timestamptz;
