-- KEYS one · ARGV: ticket, rows or '' (the turn is given back), ms to live
local key = KEYS[1]
if redis.call('HGET', key, 't') ~= ARGV[1] then
  return 0
end
if ARGV[2] ~= '' then
  redis.call('HSET', key, 'n', ARGV[2])
  redis.call('HINCRBY', key, 'n', redis.call('HGET', key, 'a'))
  redis.call('PEXPIRE', key, ARGV[3])
end
redis.call('HDEL', key, 't', 'tu', 'a')
return 1
