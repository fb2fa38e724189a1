-- KEYS: groups, topics, clock · ARGV: group id, now, '1' when the consumer leaves, how many are acknowledged, then the members of those,
-- then their tokens, then member, token, kind (release, return, dead), delay in ms and reason of each of the others
-- Returns {settled, messages that may be claimed because of it}.
local group, at, acks = group_of(ARGV[1]), now(ARGV[2]), tonumber(ARGV[4])
local settled, ready = 0, 0
local done = {}
for from = 5, 4 + acks, 4000 do
  local upto = math.min(from + 3999, 4 + acks)
  local tokens = call('HMGET', group.held, unpack(ARGV, from, upto))
  for i = from, upto do
    if tokens[i - from + 1] == ARGV[i + acks] then done[#done + 1] = ARGV[i] end
  end
end
if #done > 0 then
  bulk('ZREM', group.claimed, done)
  bulk('HDEL', group.held, done)
  if call('EXISTS', group.past) == 1 then bulk('HDEL', group.past, done) end
  call('HINCRBY', group.state, 'open', -#done)
  settled = #done
  for _, member in ipairs(done) do
    local key = key_of(member)
    if key then
      call('HDEL', group.busy, key)
      call('ZREM', group.base .. 'key:' .. key, member)
      ready = ready + unblock(group, key)
    end
  end
end

-- A dead letter that dies itself stays in the log only.
local letters = {}
local function bury(member, reason)
  local topic = string.match(sub(member, 45), '^%Z+')
  local position = sub(member, 1, 24)
  local entry = call('XRANGE', stream_of(topic), position, position)[1]
  if topic == 'guild.dead' or not entry then return end
  local fields = fields_of(entry)
  local attempts, lines = remember(group, member, at, reason)
  local name = string.match(group.id, '^([^@]*)@')
  local body = '{"topic":' .. cjson.encode(topic) .. ',"group":' .. cjson.encode(name) .. ',"id":' .. cjson.encode(fields.id)
    .. ',"reason":' .. cjson.encode(reason) .. ',"attempts":' .. attempts .. ',"history":[' .. table.concat(lines, ',') .. '],"body":'
    .. fields.body .. '}'
  for _, value in ipairs({ fields.id, fields.lane, '', '', body }) do table.insert(letters, value) end
end

for i = 5 + 2 * acks, #ARGV, 5 do
  local member, kind, delay, reason = ARGV[i], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4]
  if call('HGET', group.held, member) == ARGV[i + 1] then
    settled = settled + 1
    if kind == 'dead' then
      bury(member, reason)
      ready = ready + forget(group, member, let_go(group, member))
    else
      local key = let_go(group, member)
      if kind == 'return' then
        keep_past(group, member, remember(group, member, at, reason))
        if delay > 0 then call('ZADD', group.delayed, at + delay, member) end
      end
      if key then
        ready = ready + unblock(group, key)
      elseif kind == 'release' or delay == 0 then
        ready = ready + enter(group, member)
      end
    end
  end
end
if #letters > 0 then append('guild.dead', letters, 1, #letters, at) end
if ARGV[3] == '1' and ready > 0 then wake(group) end
return { settled, ready }
