-- name: buryReceipts
-- A receipt for what is no event, so that received still equals the sum of dispositions. Returns those written here and now.
INSERT INTO guild_core.receipts (id, event_id, source, delivery_id, disposition, received_at)
SELECT r.id, r.event_id, r.source, r.delivery_id, 'DEAD', r.received_at
FROM jsonb_to_recordset($1::jsonb) AS r (id text, event_id text, source text, delivery_id text, received_at timestamptz)
ORDER BY r.id
ON CONFLICT DO NOTHING
RETURNING id;
