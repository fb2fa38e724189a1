-- KEYS limits · ARGV: [{unit, burst}] as JSON, the time or ''
local limits = cjson.decode(ARGV[1])
local now = now_ms(ARGV[2])
local answers = {}
for i, key in ipairs(KEYS) do
  local tat = math.max(now, tonumber(redis.call('GET', key) or '0'))
  answers[i] = { math.max(0, math.floor((now - tat) / limits[i].unit + limits[i].burst + 0.000001)), exact(tat - now) }
end
return answers
