-- Changes one value if it is still what the caller read. Decides nothing else.
--
-- KEYS[1]  the value's key
-- ARGV[1]  the value that the caller read
-- ARGV[2]  the new value, or "" to remove the key
-- ARGV[3]  the new value's life in milliseconds, or "0" for ever
--
-- Returns
--   1      the value was replaced, or the key removed
--   nil    there is no such key; nothing was changed
--   bulk   the other value that is there; nothing was changed
local found = redis.call('GET', KEYS[1])
if found ~= ARGV[1] then
  return found
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
elseif ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
