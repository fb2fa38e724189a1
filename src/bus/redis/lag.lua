-- KEYS: groups · ARGV: now · Returns {topic, group, ready, in flight, delayed, age of the oldest ready in ms} for each group.
-- The age is looked for among the first 1000 of each kind: with more waiting it may be up to 2 min (the worth of all lanes) too small.
local at, look = now(ARGV[1]), 999
local all, rows = call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local group = group_of(all[i])
  local in_flight = call('ZCOUNT', group.claimed, '(' .. at, '+inf')
  local delayed = call('ZCOUNT', group.delayed, '(' .. at, '+inf')
  local open = tonumber(call('HGET', group.state, 'open') or 0)
  local oldest = at
  local function see(member)
    oldest = math.min(oldest, tonumber(sub(member, 28, 43)))
  end
  for _, member in ipairs(call('ZRANGE', group.ready, 0, look)) do see(member) end
  for _, key in ipairs({ group.delayed, group.claimed }) do
    local found = call('ZRANGE', key, 0, look, 'WITHSCORES')
    for j = 1, #found, 2 do
      local order = key_of(found[j])
      if tonumber(found[j + 1]) <= at then see(found[j]) end
      -- The next of its key is ready too, and waits for it.
      local next = order and call('ZRANGE', group.base .. 'key:' .. order, 1, 1)[1]
      if next and not call('ZSCORE', group.delayed, next) then see(next) end
    end
  end
  local name = string.match(group.id, '^([^@]*)@')
  table.insert(rows, { all[i + 1], name, math.max(0, open - in_flight - delayed), in_flight, delayed, at - oldest })
end
return rows
