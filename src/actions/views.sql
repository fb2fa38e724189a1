-- name: listActions
SELECT id, type, connector, target_system, target, state, reason, autonomy, rule, integrity, priority, agent_id, chapter, invocation_id,
  event_id, trace_id, args, attempts, probes, next_at, hold_until, sent_at, expires_at, awaited, undo_of, requested_by, expected, before, after,
  remote_id, remote_url, confirmed_by, provider, model,
  codex_commit, created_at, updated_at, finished_at
FROM guild_core.actions
WHERE ($2::text IS NULL OR (created_at, id) < (SELECT c.created_at, c.id FROM guild_core.actions c WHERE c.id = $2))
  AND ($3::text[] IS NULL OR state = ANY($3)) AND ($4::text IS NULL OR agent_id = $4) AND ($5::text IS NULL OR invocation_id = $5)
  AND ($6::text IS NULL OR event_id = $6) AND ($7::text IS NULL OR target = $7)
ORDER BY created_at DESC, id DESC LIMIT $1;

-- name: getAction
SELECT id, type, connector, target_system, target, state, reason, autonomy, rule, integrity, priority, agent_id, chapter, invocation_id,
  event_id, trace_id, args, attempts, probes, next_at, hold_until, sent_at, expires_at, awaited, undo_of, requested_by, expected, before, after,
  remote_id, remote_url, confirmed_by, provider, model,
  codex_commit, created_at, updated_at, finished_at, rendered, remote, causal_root, causal_depth, receipt,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'kind', p.kind, 'state', p.state, 'approval_hash', p.args_hash, 'before', p.before, 'after', p.after, 'asked', p.asked,
      'requested_at', p.requested_at, 'expires_at', p.expires_at, 'decided_by', p.decided_by, 'decided_at', p.decided_at,
      'channel', p.channel, 'note', p.note) ORDER BY p.requested_at, p.id), '[]')
    FROM guild_core.approvals p WHERE p.action_id = a.id) AS approvals,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('at', d.at, 'stage', d.stage, 'outcome', d.outcome, 'rule', d.rule, 'reason', d.reason,
      'detail', d.detail) ORDER BY d.id), '[]')
    FROM guild_core.decisions d WHERE d.action_id = a.id) AS decisions,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('id', u.id, 'state', u.state, 'requested_by', u.requested_by, 'reason', u.reason)
      ORDER BY u.lane), '[]')
    FROM guild_core.actions u WHERE u.undo_of = a.id) AS undos
FROM guild_core.actions a WHERE a.id = $1;

-- name: listApprovals
SELECT p.id, p.action_id, p.kind, p.state, p.args_hash AS approval_hash, p.before, p.after, p.seen_at, p.asked, p.requested_at, p.expires_at, p.decided_by, p.decided_at,
  p.channel, p.note, a.type, a.connector, a.target, a.args, a.agent_id, a.chapter, a.invocation_id, a.event_id, a.trace_id, a.priority,
  a.integrity, a.rule, a.provider, a.model, a.codex_commit, a.hold_until, a.undo_of, a.requested_by, a.reason
FROM guild_core.approvals p JOIN guild_core.actions a ON a.id = p.action_id
WHERE ($2::text IS NULL OR (p.requested_at, p.id) < (SELECT c.requested_at, c.id FROM guild_core.approvals c WHERE c.id = $2))
  AND ($3::text IS NULL OR p.state = $3)
ORDER BY p.requested_at DESC, p.id DESC LIMIT $1;
