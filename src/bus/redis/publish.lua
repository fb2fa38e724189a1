-- KEYS: groups, topics, clock, the topic's stream · ARGV: topic, now, then five a message
append(ARGV[1], ARGV, 3, now(ARGV[2]))
