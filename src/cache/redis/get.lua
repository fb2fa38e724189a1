-- KEYS one · a hash is no text: nothing is found
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then
  return false
end
return redis.call('GET', KEYS[1])
