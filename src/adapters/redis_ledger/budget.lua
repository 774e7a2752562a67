-- Adds one job's amount to all its counters or to none. The rules are those of ports/budget.rs.
--
-- KEYS[1]   the job's record
-- KEYS[2..] its counters; all keys have one hash tag
-- ARGV[1]   the job's fingerprint
-- ARGV[2]   the amount in fen
-- ARGV[3]   the record's life in milliseconds
-- ARGV[4]   "enforce", or "tell" to count what is over a cap all the same
-- then for each counter: its name, its cap in fen, the sum that is warned of, its life in milliseconds
--
-- Returns 1 if the job may be sent, else 0; then for each counter its sum by now, and a mark: 1 if the
-- job is over the cap, 2 more if it is the first of which that is told, 4 more if the sum has reached
-- what is warned of and that was not told yet.
--
-- A record is the fingerprint and the names of the counters that the job was added to. A counter is a
-- hash: the sum as `fen`, and `over` and `warned` once they were told. Sums are whole numbers far below
-- 2^53, so that they are exact here.
local amount = tonumber(ARGV[2])
local enforce = ARGV[4] == 'enforce'

local counted = {}
local record = redis.call('GET', KEYS[1])
if record and string.sub(record, 1, #ARGV[1]) == ARGV[1] then
  for name in string.gmatch(string.sub(record, #ARGV[1] + 1), '%S+') do
    counted[name] = true
  end
end

local sums, over, any_over, all_counted = {}, {}, false, true
local names = {}
for index = 2, #KEYS do
  local place = 5 + (index - 2) * 4
  local name = ARGV[place]
  sums[index] = tonumber(redis.call('HGET', KEYS[index], 'fen') or 0)
  names[index - 1] = name
  if not counted[name] then
    all_counted = false
    over[index] = sums[index] + amount > tonumber(ARGV[place + 1])
    any_over = any_over or over[index]
  end
end
local granted = not (any_over and enforce)

-- Whether this is told for the first time.
local function first(index, what)
  return redis.call('HSETNX', KEYS[index], what, 1) == 1
end

local answer = {granted and 1 or 0}
for index = 2, #KEYS do
  local place = 5 + (index - 2) * 4
  local mark = 0
  if granted and not counted[ARGV[place]] then
    sums[index] = redis.call('HINCRBY', KEYS[index], 'fen', ARGV[2])
    redis.call('PEXPIRE', KEYS[index], ARGV[place + 3])
    if sums[index] >= tonumber(ARGV[place + 2]) and first(index, 'warned') then
      mark = 4
    end
  end
  if over[index] then
    mark = mark + 1
    if first(index, 'over') then
      mark = mark + 2
      redis.call('PEXPIRE', KEYS[index], ARGV[place + 3])
    end
  end
  table.insert(answer, sums[index])
  table.insert(answer, mark)
end
if granted and not all_counted then
  redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. table.concat(names, ' '), 'PX', ARGV[3])
end
return answer
