-- name: admissionFacts
-- $1 roots · $2 [{agent, key}]
SELECT kind, agent_id, key, run, state, runs FROM guild_core.admission_facts($1::jsonb, $2::jsonb);
