-- KEYS one · ARGV: operation or '', hold ms, rebuild ms, operations at most, ticket, the time or ''
-- Fields: n the count · t ticket · tu its end · a added since · p:<operation> the end of one under way
local key, operation = KEYS[1], ARGV[1]
local hold, rebuild = tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_ms(ARGV[6])
local flat = redis.call('HGETALL', key)
local state, pending, count = {}, {}, 0
for i = 1, #flat, 2 do
  local name, value = flat[i], flat[i + 1]
  if string.sub(name, 1, 2) ~= 'p:' then
    state[name] = value
  elseif tonumber(value) > now then
    count = count + 1
    pending[count] = string.sub(name, 3)
  else
    state.dropped = true
    redis.call('HDEL', key, name)
  end
end
if state.dropped then
  redis.call('HDEL', key, 'n', 't', 'tu', 'a')
  state = {}
end
if state.n then
  if operation == '' then
    return { 'open', state.n }
  end
  if count >= tonumber(ARGV[4]) then
    return { 'wait' }
  end
  redis.call('HSET', key, 'p:' .. operation, exact(now + hold))
  return { 'open', state.n }
end
if state.t and tonumber(state.tu) > now then
  return { 'wait' }
end
redis.call('HSET', key, 't', ARGV[5], 'tu', exact(now + rebuild), 'a', '0')
if redis.call('PTTL', key) < hold + rebuild then
  redis.call('PEXPIRE', key, math.ceil(hold + rebuild))
end
return { 'rebuild', pending }
