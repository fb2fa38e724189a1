-- What the scripts of the bus share. Every key begins with the root, whose hash tag puts them all on one node of a cluster:
--   ROOT:groups            hash   group id → topic or prefix it takes
--   ROOT:topics            set    topics with a stream
--   ROOT:clock             hash   ms, n: the last position given out; positions never go back, whatever the server's clock does
--   ROOT:stream:TOPIC      stream the log: id, lane, at, body, and key and notBefore when there are any
--   ROOT:g:ID:ready        zset   what may be claimed, by rank
--   ROOT:g:ID:delayed      zset   by the instant it is due
--   ROOT:g:ID:claimed      zset   by the instant the claim lapses
--   ROOT:g:ID:held         hash   member → token of its claim
--   ROOT:g:ID:past         hash   member → attempts and their history, only of those that came back
--   ROOT:g:ID:key:KEY      zset   what the group has open of one key, in order; a member found nowhere else waits for those before it
--   ROOT:g:ID:busy         hash   key → the member of it that is claimed
--   ROOT:g:ID:state        hash   open: messages not acknowledged; fillFrom, fillUntil: how far a new group has read the log
--   ROOT:g:ID:fill         list   topics a new group has yet to read
-- A member is all a group must know of a message without reading its body:
--   ms(13) "-" n(10) " " lane " " since(16) " " topic [NUL key]
local call, sub, find, format = redis.call, string.sub, string.find, string.format
local root = string.match(KEYS[1], '^(.*):groups$')

local function now(given)
  if given ~= '' then return tonumber(given) end
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Many arguments in slices: a call of Lua takes no more than some 8000.
local function bulk(command, key, list)
  for from = 1, #list, 4000 do
    call(command, key, unpack(list, from, math.min(from + 3999, #list)))
  end
end

local function matches(pattern, topic)
  if sub(pattern, -1) ~= '*' then return pattern == topic end
  return sub(topic, 1, #pattern - 1) == sub(pattern, 1, -2)
end

local function stream_of(topic)
  return root .. ':stream:' .. topic
end

local function group_of(id)
  local base = root .. ':g:' .. id .. ':'
  return {
    id = id, base = base, ready = base .. 'ready', delayed = base .. 'delayed', claimed = base .. 'claimed', held = base .. 'held',
    past = base .. 'past', busy = base .. 'busy', state = base .. 'state', fill = base .. 'fill',
  }
end

local function wake(group)
  call('PUBLISH', root .. ':wake', group.id)
end

local function member_of(ms, n, lane, since, topic, key)
  local member = format('%013d-%010d %d %016d %s', ms, n, lane, since, topic)
  -- Not within the format, which ends a text at NUL.
  if key then return member .. '\0' .. key end
  return member
end

-- Smaller goes first; a lane is worth 30 s of waiting, so the order of two messages never changes while they wait.
local function rank_of(member)
  return tonumber(sub(member, 28, 43)) + tonumber(sub(member, 26, 26)) * 30000
end

-- The topic and key of a member that has a key, else nil.
local function key_of(member)
  if find(member, '\0', 45, true) then return sub(member, 45) end
  return nil
end

local function first_of(group, key)
  return call('ZRANGE', group.base .. 'key:' .. key, 0, 0)[1]
end

-- May be claimed now, unless another of its key is before it or in work.
local function enter(group, member)
  local key = key_of(member)
  if key and (first_of(group, key) ~= member or call('HEXISTS', group.busy, key) == 1) then return 0 end
  return call('ZADD', group.ready, rank_of(member), member)
end

-- The first of the key may be claimed again.
local function unblock(group, key)
  if call('HEXISTS', group.busy, key) == 1 then return 0 end
  local head = first_of(group, key)
  if not head or call('ZSCORE', group.delayed, head) then return 0 end
  return call('ZADD', group.ready, rank_of(head), head)
end

local function is_open(group, member)
  local key = key_of(member)
  if key then return call('ZSCORE', group.base .. 'key:' .. key, member) end
  return call('ZSCORE', group.ready, member) or call('ZSCORE', group.delayed, member)
    or call('ZSCORE', group.claimed, member)
end

-- Messages on their way into a group, gathered so that they cost one command.
local function batch_for(group)
  return { group = group, ready = {}, delayed = {}, count = 0 }
end

local function add(batch, member, rank, since, at, key)
  local group = batch.group
  batch.count = batch.count + 1
  if key then
    key = sub(member, 45)
    call('ZADD', group.base .. 'key:' .. key, 0, member)
  end
  if since > at then
    local delayed = batch.delayed
    delayed[#delayed + 1] = since
    delayed[#delayed + 1] = member
  elseif not key or (first_of(group, key) == member and call('HEXISTS', group.busy, key) == 0) then
    local ready = batch.ready
    ready[#ready + 1] = rank
    ready[#ready + 1] = member
  end
end

-- Wakes only when nothing was ready before: who had found nothing more to claim was woken when that ended, and looks until it is so again.
local function commit(batch)
  local group = batch.group
  if batch.count == 0 then return end
  local asleep = #batch.ready > 0 and call('EXISTS', group.ready) == 0
  bulk('ZADD', group.ready, batch.ready)
  bulk('ZADD', group.delayed, batch.delayed)
  call('HINCRBY', group.state, 'open', batch.count)
  if asleep or #batch.delayed > 0 then wake(group) end
end

local function groups_for(topic)
  local all = call('HGETALL', KEYS[1])
  local found = {}
  for i = 1, #all, 2 do
    if matches(all[i + 1], topic) then table.insert(found, batch_for(group_of(all[i]))) end
  end
  return found
end

-- The end of the members, and the rank, of what waits in a lane since an instant. As texts: a number is written anew, with 17 digits, for
-- each command.
local function place_of(topic, lane, since)
  return { format(' %s %016d ', lane, since) .. topic, format('%d', since + lane * 30000) }
end

-- messages: {id, lane, notBefore or '', key or '', body} one after another, from index `from` to `upto`
local function append(topic, messages, from, upto, at)
  local last = call('HMGET', root .. ':clock', 'ms', 'n')
  local ms, n = tonumber(last[1] or 0), tonumber(last[2] or 0)
  if at > ms then ms, n = at, 0 end
  local batches = groups_for(topic)
  local stream, at_text, prefix, places = stream_of(topic), format('%d', at), format('%013d-', ms), {}
  for lane = 0, 4 do places[tostring(lane)] = place_of(topic, lane, at) end
  for i = from, upto, 5 do
    n = n + 1
    local id, lane, later, key, body = messages[i], messages[i + 1], messages[i + 2], messages[i + 3], messages[i + 4]
    local position, since, place = prefix .. format('%010d', n), at, places[lane]
    -- claim.lua reads the fields by their places.
    if later == '' and key == '' then
      key = nil
      call('XADD', stream, position, 'id', id, 'lane', lane, 'at', at_text, 'body', body)
    else
      local more = {}
      if later ~= '' then
        since = tonumber(later)
        place = place_of(topic, lane, since)
        more = { 'notBefore', later }
      end
      if key ~= '' then
        table.insert(more, 'key')
        table.insert(more, key)
      else
        key = nil
      end
      call('XADD', stream, position, 'id', id, 'lane', lane, 'at', at_text, 'body', body, unpack(more))
    end
    if #batches > 0 then
      local member = position .. place[1]
      -- Not within a format, which ends a text at NUL.
      if key then member = member .. '\0' .. key end
      for _, batch in ipairs(batches) do add(batch, member, place[2], since, at, key) end
    end
  end
  call('HSET', root .. ':clock', 'ms', format('%d', ms), 'n', format('%d', n))
  call('SADD', root .. ':topics', topic)
  for _, batch in ipairs(batches) do commit(batch) end
end

local function fields_of(entry)
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  return fields
end

local function member_of_entry(topic, entry, fields)
  local ms, n = string.match(entry[1], '^(%d+)-(%d+)$')
  local since = tonumber(fields.notBefore or fields.at)
  -- The second value: since when it waits.
  return member_of(tonumber(ms), tonumber(n), tonumber(fields.lane), since, topic, fields.key), since
end

-- What a slice of the log holds, to one group; what the group has open is left alone. Returns where the next slice begins, or nil.
local function deliver(group, topic, from, upto, count, at, wanted)
  local entries = call('XRANGE', stream_of(topic), from, upto, 'COUNT', count)
  local batch = batch_for(group)
  for _, entry in ipairs(entries) do
    local fields = fields_of(entry)
    if wanted(fields) then
      local member, since = member_of_entry(topic, entry, fields)
      if not is_open(group, member) then add(batch, member, rank_of(member), since, at, fields.key) end
    end
  end
  commit(batch)
  if #entries < count then return nil, batch.count end
  return '(' .. entries[#entries][1], batch.count
end

-- 1970-01-01T00:00:00.000Z; there is no os.date here. http://howardhinnant.github.io/date_algorithms.html#civil_from_days
local function iso(at)
  local days, ms = math.floor(at / 86400000), at % 86400000
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, doy - math.floor((153 * mp + 2) / 5) + 1,
    math.floor(ms / 3600000), math.floor(ms / 60000) % 60, math.floor(ms / 1000) % 60, ms % 1000)
end

-- attempts so far, and the last ten of them as JSON, one a line
local function past_of(group, member)
  local text = call('HGET', group.past, member)
  local lines = {}
  if not text then return 0, lines end
  for line in string.gmatch(text, '[^\n]+') do table.insert(lines, line) end
  return tonumber(table.remove(lines, 1)), lines
end

-- One more attempt is over.
local function remember(group, member, at, reason)
  local attempts, lines = past_of(group, member)
  attempts = attempts + 1
  if #lines >= 10 then table.remove(lines, 1) end
  table.insert(lines, format('{"attempt":%d,"at":"%s","reason":%s}', attempts, iso(at), cjson.encode(reason)))
  return attempts, lines
end

local function keep_past(group, member, attempts, lines)
  call('HSET', group.past, member, attempts .. '\n' .. table.concat(lines, '\n'))
end

-- Claimed no longer, whatever becomes of it.
local function let_go(group, member)
  call('ZREM', group.claimed, member)
  call('HDEL', group.held, member)
  local key = key_of(member)
  if key then call('HDEL', group.busy, key) end
  return key
end

-- The group is done with it. Returns how many may be claimed because of it.
local function forget(group, member, key)
  call('HDEL', group.past, member)
  call('HINCRBY', group.state, 'open', -1)
  if not key then return 0 end
  call('ZREM', group.base .. 'key:' .. key, member)
  return unblock(group, key)
end
