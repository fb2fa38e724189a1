-- KEYS: groups · ARGV: group id, most messages, lease in ms, now, token, bytes after which no more are taken
-- Returns false when there is no such group; else {ms until something is due (0 at once, -1 nothing), entries that were missing from the
-- log, then for each claim: member, attempt, id, at, body}.
if call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return false end
local group, most, at, token = group_of(ARGV[1]), tonumber(ARGV[2]), now(ARGV[4]), ARGV[5]
local bytes_max, promote_max = tonumber(ARGV[6]), 1000

local due = call('ZRANGEBYSCORE', group.delayed, '-inf', at, 'LIMIT', 0, promote_max)
bulk('ZREM', group.delayed, due)
for _, member in ipairs(due) do enter(group, member) end
local lapsed = call('ZRANGEBYSCORE', group.claimed, '-inf', at, 'LIMIT', 0, promote_max)
for _, member in ipairs(lapsed) do
  keep_past(group, member, remember(group, member, at, 'the claim lapsed'))
  let_go(group, member)
  local key = key_of(member)
  if key then unblock(group, key) else enter(group, member) end
end

local reply, claimed, held = { 0, 0 }, {}, {}
local lapse = format('%d', at + tonumber(ARGV[3]))
local count, bytes, missing, retried = 0, 0, 0, call('EXISTS', group.past) == 1
local streams = {}
local function take(member, topic, key)
  streams[topic] = streams[topic] or stream_of(topic)
  local position = sub(member, 1, 24)
  local entry = call('XRANGE', streams[topic], position, position)[1]
  if not entry then
    -- Somebody has taken it out of the log by hand, or the server has evicted it.
    if key then call('HDEL', group.busy, key) end
    forget(group, member, key)
    missing = missing + 1
    return
  end
  local fields = entry[2]
  local place, at2 = 2 + 5 * count, 2 * count
  reply[place + 1] = member
  reply[place + 2] = 1 + (retried and past_of(group, member) or 0)
  reply[place + 3] = fields[2]
  reply[place + 4] = fields[6]
  reply[place + 5] = fields[8]
  claimed[at2 + 1], claimed[at2 + 2] = lapse, member
  held[at2 + 1], held[at2 + 2] = member, token
  count = count + 1
  bytes = bytes + #fields[8]
end
while count < most and bytes < bytes_max do
  -- Instead of ZPOPMIN, which writes out a score for each that nobody reads.
  local popped = call('ZRANGE', group.ready, 0, most - count - 1)
  if #popped == 0 then break end
  call('ZREMRANGEBYRANK', group.ready, 0, #popped - 1)
  for _, member in ipairs(popped) do
    local nul = find(member, '\0', 45, true)
    if bytes >= bytes_max then
      call('ZADD', group.ready, rank_of(member), member)
    elseif not nul then
      take(member, sub(member, 45))
    else
      local key = sub(member, 45)
      -- A replay may have put an earlier one of its key before it.
      if first_of(group, key) == member and call('HSETNX', group.busy, key, member) == 1 then
        take(member, sub(member, 45, nul - 1), key)
      end
    end
  end
end
bulk('ZADD', group.claimed, claimed)
bulk('HSET', group.held, held)

local left = call('EXISTS', group.ready) == 1
local more = #due == promote_max or #lapsed == promote_max or (left and bytes >= bytes_max)
if left and (#due > 0 or #lapsed > 0 or bytes >= bytes_max) then wake(group) end
if not more then
  local soonest = -1
  for _, key in ipairs({ group.delayed, group.claimed }) do
    local score = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    if score and (soonest < 0 or score - at < soonest) then soonest = math.max(1, score - at) end
  end
  reply[1] = soonest
end
reply[2] = missing
return reply
