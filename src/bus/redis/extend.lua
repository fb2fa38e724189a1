-- KEYS: groups · ARGV: group id, lease in ms, now, then member and token of each claim · Returns the places (from 0) of those that were lost.
local group = group_of(ARGV[1])
local lapse = now(ARGV[3]) + tonumber(ARGV[2])
local lost, kept = {}, {}
for i = 4, #ARGV, 2 do
  if call('HGET', group.held, ARGV[i]) == ARGV[i + 1] then
    table.insert(kept, lapse)
    table.insert(kept, ARGV[i])
  else
    table.insert(lost, (i - 4) / 2)
  end
end
bulk('ZADD', group.claimed, kept)
return lost
