-- KEYS: groups, topics, clock, then the streams of the topics · ARGV: now, then for each topic: topic, messages, five texts a message
local at, i = now(ARGV[1]), 2
while i < #ARGV do
  local last = i + 1 + 5 * tonumber(ARGV[i + 1])
  append(ARGV[i], ARGV, i + 2, last, at)
  i = last + 1
end
