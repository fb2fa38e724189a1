-- name: readRatio
-- Input tokens per byte of the last thousand settled calls of a model: the 99th percentile, and how many there were.
SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY input_tokens::float8 / input_bytes) AS ratio, count(*)::integer AS calls
FROM (
  SELECT input_tokens, input_bytes FROM guild_ledger.token_usage
  WHERE provider = $1 AND model = $2 AND NOT estimated AND input_bytes > 0
  ORDER BY timestamp DESC LIMIT 1000
) AS last;
