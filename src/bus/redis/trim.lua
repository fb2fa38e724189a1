-- KEYS: groups, topics, the topic's stream · ARGV: topic, older than, position to read on from, entries at most
-- Removes what no group has open. Returns {entries removed, where to read on or ''}.
local older, stream = tonumber(ARGV[2]), KEYS[3]
local entries = call('XRANGE', stream, ARGV[3], '+', 'COUNT', ARGV[4])
local batches, gone, next = groups_for(ARGV[1]), {}, ''
for _, entry in ipairs(entries) do
  local fields = fields_of(entry)
  if tonumber(fields.at) >= older then
    next = nil
    break
  end
  local member, open = member_of_entry(ARGV[1], entry, fields), false
  for _, batch in ipairs(batches) do open = open or is_open(batch.group, member) end
  if not open then table.insert(gone, entry[1]) end
end
bulk('XDEL', stream, gone)
if call('XLEN', stream) == 0 then
  call('DEL', stream)
  call('SREM', KEYS[2], ARGV[1])
end
if next and #entries == tonumber(ARGV[4]) then next = '(' .. entries[#entries][1] end
return { #gone, next or '' }
