-- name: dueTranscripts
-- Ended runs with a transcript, and whether it is older than its agent keeps it ($1: [{agent, ms}], never above the ceiling; others: $2).
-- $3 now · $4 none that ended later is due · $5 the last run looked at: finished_at, $6 id · $7 rows at most
SELECT i.id, i.transcript_ref, to_char(i.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS finished_at,
  i.finished_at + coalesce(k.ms, $2) * interval '1 millisecond' <= $3::timestamptz AS due
FROM guild_core.invocations i
LEFT JOIN jsonb_to_recordset($1::jsonb) AS k (agent text, ms double precision) ON k.agent = i.agent_id
WHERE i.transcript_ref IS NOT NULL AND i.finished_at <= $4 AND (i.finished_at, i.id) > ($5::timestamptz, $6)
ORDER BY i.finished_at, i.id
LIMIT $7;

-- name: forgetTranscripts
UPDATE guild_core.invocations SET transcript_ref = NULL WHERE id = ANY ($1::text[]) AND finished_at IS NOT NULL;
