-- name: forgetNow
-- What the steps of one run have said and heard, by its hash. Intents stay whole: whoever charges a lost call needs them.
UPDATE guild_core.run_steps s
SET request = CASE WHEN s.request IS NOT NULL THEN jsonb_build_object('sha256', encode(sha256(convert_to(s.request::text, 'UTF8')), 'hex')) END,
    response = CASE WHEN s.response IS NOT NULL THEN jsonb_build_object('sha256', encode(sha256(convert_to(s.response::text, 'UTF8')), 'hex')) END,
    error = CASE WHEN s.error IS NOT NULL THEN 'not kept' END
WHERE s.invocation_id = $1 AND s.run_at = (SELECT i.made_at FROM guild_core.invocations i WHERE i.id = $1)
  AND s.kind NOT IN ('codex', 'finish') AND s.status <> 'INTENT';

-- name: forgetDue
-- The same for runs whose time is over. A run that a grant has set going again is not over, and is left alone.
-- $1 now · $2 runs at most
WITH due AS (
  SELECT id, made_at FROM guild_core.invocations
  WHERE journal_until <= $1 AND state IN ('COMPLETED', 'STOPPED', 'FAILED', 'DEAD')
  ORDER BY journal_until
  LIMIT $2
  FOR UPDATE SKIP LOCKED
), forgotten AS (
  UPDATE guild_core.run_steps s
  SET request = CASE WHEN s.request IS NOT NULL THEN jsonb_build_object('sha256', encode(sha256(convert_to(s.request::text, 'UTF8')), 'hex')) END,
      response = CASE WHEN s.response IS NOT NULL THEN jsonb_build_object('sha256', encode(sha256(convert_to(s.response::text, 'UTF8')), 'hex')) END,
      error = CASE WHEN s.error IS NOT NULL THEN 'not kept' END
  FROM due
  WHERE s.invocation_id = due.id AND s.run_at = due.made_at AND s.kind NOT IN ('codex', 'finish') AND s.status <> 'INTENT'
)
UPDATE guild_core.invocations i SET journal_until = NULL, journal_forgotten = true FROM due WHERE i.id = due.id RETURNING i.id;
