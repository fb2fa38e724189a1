-- KEYS one · a text is no hash: nothing is found
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then
  return {}
end
return redis.call('HGETALL', KEYS[1])
