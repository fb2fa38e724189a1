-- KEYS: groups, the topic's stream · ARGV: group id, topic, position to read on from, from, to, now, entries at most
-- Returns {messages delivered, where to read on or ''}.
local from, to = tonumber(ARGV[4]), tonumber(ARGV[5])
local function wanted(fields)
  local at = tonumber(fields.at)
  return at >= from and at <= to
end
local next, count = deliver(group_of(ARGV[1]), ARGV[2], ARGV[3], '+', tonumber(ARGV[7]), now(ARGV[6]), wanted)
return { count, next or '' }
