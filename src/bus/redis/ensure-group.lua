-- KEYS: groups, topics, clock · ARGV: group id, topic or prefix, from, now, entries at most
-- Returns {1 when the group has all that the log held when it was created, else there is more to read: call again; 1 when it is new}.
local group = group_of(ARGV[1])
local new = call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
if new == 1 and ARGV[3] == 'earliest' then
  local last = call('HMGET', KEYS[3], 'ms', 'n')
  for _, topic in ipairs(call('SMEMBERS', KEYS[2])) do
    if matches(ARGV[2], topic) then call('RPUSH', group.fill, topic) end
  end
  call('HSET', group.state, 'fillFrom', '-', 'fillUntil', (last[1] or '0') .. '-' .. (last[2] or '0'))
end
local topic = call('LINDEX', group.fill, 0)
if not topic then return { 1, new } end
local range = call('HMGET', group.state, 'fillFrom', 'fillUntil')
local all = function() return true end
local from = deliver(group, topic, range[1], range[2], tonumber(ARGV[5]), now(ARGV[4]), all)
if not from then call('LPOP', group.fill) end
call('HSET', group.state, 'fillFrom', from or '-')
return { 0, new }
