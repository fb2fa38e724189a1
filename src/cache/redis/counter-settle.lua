-- KEYS one · ARGV: operation, rows or '' (not known). The answer is the count, or nothing.
local key, rows = KEYS[1], ARGV[2]
local known = redis.call('HDEL', key, 'p:' .. ARGV[1]) == 1
if known and rows ~= '' then
  if redis.call('HEXISTS', key, 'n') == 1 then
    return tostring(redis.call('HINCRBY', key, 'n', rows))
  end
  if redis.call('HEXISTS', key, 't') == 1 then
    redis.call('HINCRBY', key, 'a', rows)
  end
  return false
end
if rows ~= '0' then
  redis.call('HDEL', key, 'n', 't', 'tu', 'a')
end
return false
