-- name: insertDecisions
INSERT INTO guild_core.decisions (at, stage, outcome, event_id, receipt_id, agent_id, invocation_id, action_id, rule, reason, codex_commit, detail)
SELECT at, stage, outcome, event_id, receipt_id, agent_id, invocation_id, action_id, rule, reason, codex_commit, coalesce(detail, '{}')
FROM jsonb_to_recordset($1::jsonb) AS d (
  at timestamptz, stage text, outcome text, event_id text, receipt_id text, agent_id text, invocation_id text, action_id text,
  rule text, reason text, codex_commit text, detail jsonb
);
