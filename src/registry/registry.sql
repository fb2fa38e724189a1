-- name: lockSync
-- Processes that see the same new commit at once: the first writes it, the others then find it serving.
SELECT pg_advisory_xact_lock(20775, 0);

-- name: serving
SELECT commit_id, hash FROM guild_core.codex_snapshots WHERE state = 'VALID' ORDER BY loaded_at DESC, commit_id LIMIT 1;

-- name: syncAgents
-- $1 agents of the snapshot · $2 commit · $3 now
WITH given AS (
  SELECT * FROM jsonb_to_recordset($1::jsonb) AS a (
    id text, agent_type text, chapter text, version text, capabilities jsonb, resource_config jsonb, triggers jsonb, owner text
  )
), gone AS (
  UPDATE guild_core.agents SET removed_at = $3, status = 'DORMANT', status_reason = 'it is no longer in the Codex', updated_at = $3
  WHERE removed_at IS NULL AND id NOT IN (SELECT id FROM given)
)
INSERT INTO guild_core.agents AS a
  (id, agent_type, chapter, version, capabilities, resource_config, triggers, owner, codex_commit, created_at, updated_at)
SELECT id, agent_type, chapter, version, capabilities, resource_config, triggers, owner, $2, $3, $3 FROM given ORDER BY id
ON CONFLICT (id) DO UPDATE
  SET agent_type = excluded.agent_type, chapter = excluded.chapter, version = excluded.version, capabilities = excluded.capabilities,
      resource_config = excluded.resource_config, triggers = excluded.triggers, owner = excluded.owner,
      codex_commit = excluded.codex_commit, removed_at = NULL, updated_at = excluded.updated_at;

-- name: syncRoutes
-- $1 rules of the snapshot · $2 commit
WITH given AS (
  SELECT DISTINCT ON (id) * FROM jsonb_to_recordset($1::jsonb) AS r (
    id text, event_type text, source text, condition text, target_agents jsonb, priority text
  )
  ORDER BY id
), gone AS (
  DELETE FROM guild_core.routing_rules WHERE id NOT IN (SELECT id FROM given)
)
INSERT INTO guild_core.routing_rules (id, event_type, source, condition, target_agents, priority, codex_commit)
SELECT id, event_type, source, condition, target_agents, priority, $2 FROM given
ON CONFLICT (id) DO UPDATE
  SET event_type = excluded.event_type, source = excluded.source, condition = excluded.condition,
      target_agents = excluded.target_agents, priority = excluded.priority, codex_commit = excluded.codex_commit;

-- name: recordSnapshot
INSERT INTO guild_core.codex_snapshots (commit_id, hash, state, problems, loaded_at)
VALUES ($1, $2, $3, $4::jsonb, $5)
ON CONFLICT (commit_id) DO UPDATE
  SET hash = excluded.hash, state = excluded.state, problems = excluded.problems, loaded_at = excluded.loaded_at;

-- name: listAgents
-- Rows with the facts that their status follows from. $1 now · $2 id · $3 capability · $4 type · $5 chapter
SELECT a.id, a.agent_type, a.chapter, a.version, a.capabilities, a.resource_config, a.triggers, a.owner, a.codex_commit, a.removed_at,
  a.created_at, a.updated_at, last.invocation AS last_invocation, runs.errors AS error_count_24h, runs.failures,
  runs.last_failure, runs.last_success
FROM guild_core.agents a
CROSS JOIN LATERAL (
  SELECT (a.resource_config #>> '{health,windowMs}')::bigint * interval '1 millisecond' AS length
) health
CROSS JOIN LATERAL (SELECT max(i.queued_at) AS invocation FROM guild_core.invocations i WHERE i.agent_id = a.id) last
CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE failed AND i.finished_at > $1::timestamptz - interval '24 hours') AS errors,
    count(*) FILTER (WHERE failed AND i.finished_at > $1::timestamptz - health.length) AS failures,
    max(i.finished_at) FILTER (WHERE failed) AS last_failure,
    max(i.finished_at) FILTER (WHERE NOT failed) AS last_success
  FROM (
    SELECT i.finished_at, i.state IN ('FAILED', 'DEAD') AS failed
    FROM guild_core.invocations i
    -- A run may have waited for a day before it ended.
    WHERE i.agent_id = a.id AND i.finished_at IS NOT NULL
      AND i.queued_at > $1::timestamptz - interval '48 hours' - health.length
  ) i
) runs
WHERE CASE WHEN $2::text IS NULL THEN a.removed_at IS NULL ELSE a.id = $2 END
  AND ($3::text IS NULL OR a.capabilities @> to_jsonb($3::text))
  AND ($4::text IS NULL OR a.agent_type = $4)
  AND ($5::text IS NULL OR a.chapter = $5)
ORDER BY a.id;

-- name: storeStatus
-- For those who read the table itself; the API computes it anew.
UPDATE guild_core.agents a
SET status = s.status, status_reason = s.status_reason, last_invocation = s.last_invocation, error_count_24h = s.error_count_24h
FROM jsonb_to_recordset($1::jsonb) AS s (
  id text, status text, status_reason text, last_invocation timestamptz, error_count_24h integer
)
WHERE a.id = s.id AND a.removed_at IS NULL
  AND (a.status, a.status_reason, a.last_invocation, a.error_count_24h)
    IS DISTINCT FROM (s.status, s.status_reason, s.last_invocation, s.error_count_24h);
