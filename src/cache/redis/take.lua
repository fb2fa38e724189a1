-- KEYS every limit once · ARGV: the requests as JSON (WireRequest, with the place of each limit among KEYS), the time or ''.
-- The arithmetic of guild_cache.take in migrations/0016_cache.sql.
local requests = cjson.decode(ARGV[1])
local now = now_ms(ARGV[2])
local tats = {}
for i, key in ipairs(KEYS) do
  tats[i] = tonumber(redis.call('GET', key) or '0')
end
local used = {}
local answers = {}
for nth, request in ipairs(requests) do
  local slot, bound_by = now, ''
  for _, limit in ipairs(request.limits) do
    local own = math.max(tats[limit.at], now) + (request.cost - limit.burst) * limit.unit
    if own > slot + 0.001 then
      slot, bound_by = own, limit.key
    end
  end
  local wait = slot - now
  local allowed = wait <= request.wait + 0.001
  local remaining, reset = nil, 0
  for _, limit in ipairs(request.limits) do
    local tat = math.max(tats[limit.at], allowed and slot or now)
    if allowed then
      tat = tat + request.cost * limit.unit
      tats[limit.at] = tat
      used[limit.at] = true
    end
    local left = math.max(0, math.floor((now - tat) / limit.unit + limit.burst + 0.000001))
    remaining = math.min(remaining or left, left)
    reset = math.max(reset, tat - now)
  end
  answers[nth] = {
    allowed and 1 or 0,
    exact(allowed and wait or 0),
    remaining,
    exact(allowed and 0 or wait - request.wait),
    exact(reset),
    bound_by,
  }
end
for i in pairs(used) do
  -- From then on it is at rest, as if never used. Where a test gives the time, an hour more: Redis lets keys expire by its own.
  local spare = ARGV[2] == '' and 1000 or 3600000
  redis.call('SET', KEYS[i], exact(tats[i]), 'PX', math.ceil(math.max(1, tats[i] - now)) + spare)
end
return answers
