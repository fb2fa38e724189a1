-- KEYS one · ARGV: {set: {name: text}, gone: [name]} as JSON, ms to live, fields at most, bytes at most. 0: too much, nothing changed
local change = cjson.decode(ARGV[1])
local fields = {}
local is_hash = redis.call('TYPE', KEYS[1]).ok == 'hash'
if is_hash then
  local flat = redis.call('HGETALL', KEYS[1])
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
end
for name, value in pairs(change.set) do
  fields[name] = value
end
for _, name in ipairs(change.gone) do
  fields[name] = nil
end
local count, bytes = 0, 0
for name, value in pairs(fields) do
  count = count + 1
  bytes = bytes + #name + #value
end
if count > tonumber(ARGV[3]) or bytes > tonumber(ARGV[4]) then
  return 0
end
if not is_hash then
  redis.call('DEL', KEYS[1])
end
for name, value in pairs(change.set) do
  redis.call('HSET', KEYS[1], name, value)
end
for _, name in ipairs(change.gone) do
  redis.call('HDEL', KEYS[1], name)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
