-- KEYS: groups · ARGV: group id, most messages, lease in ms, now, token, bytes after which no more are taken
-- Returns false when there is no such group; else {ms until something is due (0 at once, -1 nothing), entries that were missing from the
-- log, then for each claim: member, attempt, id, at, body}.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return false end
local group, most, at, token = group_of(ARGV[1]), tonumber(ARGV[2]), now(ARGV[4]), ARGV[5]
local bytes_max, promote_max = tonumber(ARGV[6]), 1000

local due = redis.call('ZRANGEBYSCORE', group.delayed, '-inf', at, 'LIMIT', 0, promote_max)
bulk('ZREM', group.delayed, due)
for _, member in ipairs(due) do enter(group, member) end
local lapsed = redis.call('ZRANGEBYSCORE', group.claimed, '-inf', at, 'LIMIT', 0, promote_max)
for _, member in ipairs(lapsed) do
  keep_past(group, member, remember(group, member, at, 'the claim lapsed'))
  let_go(group, member)
  local key = key_of(member)
  if key then unblock(group, key) else enter(group, member) end
end

local reply, claimed, held = { 0, 0 }, {}, {}
local lapse = at + tonumber(ARGV[3])
local count, bytes, missing, retried = 0, 0, 0, redis.call('EXISTS', group.past) == 1
while count < most and bytes < bytes_max do
  local popped = redis.call('ZPOPMIN', group.ready, most - count)
  if #popped == 0 then break end
  for i = 1, #popped, 2 do
    local member = popped[i]
    if bytes >= bytes_max then
      redis.call('ZADD', group.ready, popped[i + 1], member)
    else
      local key = key_of(member)
      -- A replay may have put an earlier one of its key before it.
      if not key or (first_of(group, key) == member and redis.call('HSETNX', group.busy, key, member) == 1) then
        local ms, n = string.match(member, '^0*(%d+)%-0*(%d+) ')
        local id = ms .. '-' .. n
        local topic = string.match(string.sub(member, 45), '^%Z+')
        local entry = redis.call('XRANGE', stream_of(topic), id, id)[1]
        if entry then
          local fields = fields_of(entry)
          local attempts = retried and past_of(group, member) or 0
          for _, value in ipairs({ member, attempts + 1, fields.id, fields.at, fields.body }) do table.insert(reply, value) end
          table.insert(claimed, lapse)
          table.insert(claimed, member)
          table.insert(held, member)
          table.insert(held, token)
          count = count + 1
          bytes = bytes + #fields.body
        else
          -- Somebody has taken it out of the log by hand, or the server has evicted it.
          if key then redis.call('HDEL', group.busy, key) end
          forget(group, member, key)
          missing = missing + 1
        end
      end
    end
  end
end
bulk('ZADD', group.claimed, claimed)
bulk('HSET', group.held, held)

local left = redis.call('EXISTS', group.ready) == 1
local more = #due == promote_max or #lapsed == promote_max or (left and bytes >= bytes_max)
if left and (#due > 0 or #lapsed > 0 or bytes >= bytes_max) then wake(group) end
if not more then
  local soonest = -1
  for _, key in ipairs({ group.delayed, group.claimed }) do
    local score = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    if score and (soonest < 0 or score - at < soonest) then soonest = math.max(1, score - at) end
  end
  reply[1] = soonest
end
reply[2] = missing
return reply
