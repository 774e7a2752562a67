-- Books calls in the calendar of one app and method. The rules are those of ports/rate.rs.
--
-- KEYS[1]  the calendar
-- ARGV[1]  calls per second
-- ARGV[2]  the length of a window in microseconds
-- ARGV[3]  so many calls as early as there is room
-- ARGV[4]  so many calls spread evenly over the windows to come
-- ARGV[5]  how many windows the spread is over
-- ARGV[6]  the first window of the spread, counted from 1970
-- ARGV[7]  how many windows after the present one may be booked
-- ARGV[8]  the calendar's life in milliseconds, longer than what can be booked
--
-- Returns the server's clock in microseconds, then for each window with a booking, in ascending
-- order: its number counted from 1970, the calls booked as early as possible, those of the spread.
--
-- The value is MessagePack: the length of a window, the first window with room, and for it and each
-- after it how many calls are booked. What comes before that window is over or full.
local rate = tonumber(ARGV[1])
local length = tonumber(ARGV[2])
local soon = tonumber(ARGV[3])
local spread = tonumber(ARGV[4])
local over = tonumber(ARGV[5])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local here = math.floor(now / length)
local last = here + tonumber(ARGV[7])

-- How many of `calls` per `windows` windows belong to this one. Windows are counted within one
-- round, for beyond it the products would not be exact.
local function part(window, calls, windows)
  local place = window % windows
  return math.floor((place + 1) * calls / windows) - math.floor(place * calls / windows)
end

local function room(window)
  if length > 10000 then
    return 1
  end
  return part(window, rate, 100)
end

local first = here
local booked = {}
local stored = redis.call('GET', KEYS[1])
if stored then
  local old = cmsgpack.unpack(stored)
  if old[1] == length then
    -- Further ahead than can be booked means that the clock was set back.
    if old[2] <= last + 1 then
      first = math.max(here, old[2])
      for index = 3, #old do
        booked[old[2] + index - 3] = old[index]
      end
    end
  else
    -- The rate was changed: the new calendar begins where the old one ends.
    local ends = math.ceil((old[2] + #old - 2) * old[1] / length)
    if ends <= last + 1 then
      first = math.max(here, ends)
    end
  end
end

local early = {}
local window = first
while soon > 0 and window <= last do
  local calls = math.min(soon, room(window) - (booked[window] or 0))
  if calls > 0 then
    booked[window] = (booked[window] or 0) + calls
    early[window] = calls
    soon = soon - calls
  end
  window = window + 1
end

local later = {}
if spread > 0 and length == 10000 then
  for window = math.max(first, tonumber(ARGV[6])), math.min(last, here + over - 1) do
    local half = part(window, rate, 200)
    local calls = math.min(part(window, spread, over), half - (booked[window] or 0))
    if calls > 0 then
      booked[window] = (booked[window] or 0) + calls
      later[window] = calls
    end
  end
end

local answer = {now}
local value = {length, first}
local ends = first - 1
for window = first, last do
  if early[window] or later[window] then
    table.insert(answer, window)
    table.insert(answer, early[window] or 0)
    table.insert(answer, later[window] or 0)
  end
  if booked[window] then
    ends = window
  end
end
if #answer == 1 then
  return answer
end
while first <= ends and (booked[first] or 0) >= room(first) do
  first = first + 1
end
value[2] = first
for window = first, ends do
  table.insert(value, booked[window] or 0)
end
redis.call('SET', KEYS[1], cmsgpack.pack(value), 'PX', ARGV[8])
return answer
