-- Milliseconds since 1970 with a fraction: the server's own time, or the one a test gives.
local function now_ms(given)
  if given ~= '' then
    return tonumber(given)
  end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
end

-- Enough digits that a number read back is the same number.
local function exact(number)
  return string.format('%.17g', number)
end
