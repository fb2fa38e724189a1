-- KEYS: groups · ARGV: now, group ids · Returns those with something to claim, and those that are gone: their consumers must create them.
local at, found = now(ARGV[1]), {}
for i = 2, #ARGV do
  local group = group_of(ARGV[i])
  if call('HEXISTS', KEYS[1], ARGV[i]) == 0 or call('EXISTS', group.ready) == 1
    or call('ZCOUNT', group.delayed, '-inf', at) > 0 or call('ZCOUNT', group.claimed, '-inf', at) > 0 then
    table.insert(found, ARGV[i])
  end
end
return found
