-- name: due
-- Parts of the trail that are over before $1, oldest first. Not beyond what lies in no part: the chain is dropped from its beginning on.
SELECT p.from_at, p.to_at FROM guild_core.parts p
WHERE p.parent = 'guild_audit.audit_log' AND p.to_at <= $1
  AND NOT EXISTS (SELECT FROM guild_audit.audit_log_rest r WHERE r.recorded_at < p.to_at)
ORDER BY p.from_at;

-- name: range
SELECT count(*) AS rows, min(a.seq) AS from_seq, max(a.seq) AS to_seq,
  (SELECT l.hash FROM guild_audit.audit_log l WHERE l.recorded_at >= $1 AND l.recorded_at < $2 ORDER BY l.seq DESC LIMIT 1) AS hash
FROM guild_audit.audit_log a
WHERE a.recorded_at >= $1 AND a.recorded_at < $2;

-- name: keepAnchor
INSERT INTO guild_audit.audit_anchors (seq, hash, from_seq, rows, from_at, to_at) VALUES ($1, $2, $3, $4, $5, $6);

-- name: drop
SELECT guild_core.drop_part('guild_audit.audit_log', $1, '{}') AS kept;
