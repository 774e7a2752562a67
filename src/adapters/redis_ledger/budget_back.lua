-- Takes one job's amount out of the counters that it was added to. The rules are those of
-- ports/budget.rs, record and counters those of budget.lua.
--
-- KEYS[1]   the job's record
-- KEYS[2..] its counters of the windows of now; what was counted in a window that is over matters no
--           more
-- ARGV[1]   the job's fingerprint
-- ARGV[2]   the amount in fen
-- ARGV[3..] the name of each counter
--
-- Returns how many counters it was taken out of.
local record = redis.call('GET', KEYS[1])
if not record or string.sub(record, 1, #ARGV[1]) ~= ARGV[1] then
  return 0
end
local counted = {}
for name in string.gmatch(string.sub(record, #ARGV[1] + 1), '%S+') do
  counted[name] = true
end
local taken = 0
for index = 2, #KEYS do
  if counted[ARGV[index + 1]] then
    local sum = tonumber(redis.call('HGET', KEYS[index], 'fen') or 0)
    local part = math.min(sum, tonumber(ARGV[2]))
    if part > 0 then
      redis.call('HINCRBY', KEYS[index], 'fen', string.format('-%.0f', part))
      taken = taken + 1
    end
  end
end
redis.call('DEL', KEYS[1])
return taken
