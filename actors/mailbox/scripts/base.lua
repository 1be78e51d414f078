-- What every script begins with: the clock, the arguments, counters, wake-ups.

local call = redis.call
local sub, byte, format = string.sub, string.byte, string.format

-- Milliseconds, also as text: the server tells both parts of its time so, and Lua is slow to make text of a number.
local time = call('TIME')
local NOW_DIGITS = time[1] .. sub('00000' .. time[2], -6, -4)
local NOW = tonumber(NOW_DIGITS)

-- Lua writes large numbers as 1.7e+12 unless told otherwise.
local function digits(number)
  return format('%.0f', number)
end

-- Counters are gathered and written once per script.
local counted = {}

local function count(queue, name, by)
  local names = counted[queue]
  if not names then
    names = {}
    counted[queue] = names
  end
  names[name] = (names[name] or 0) + by
end

local function write_counts()
  for queue, names in pairs(counted) do
    for name, by in pairs(names) do
      if by ~= 0 and call('HINCRBY', COUNTS .. queue, name, by) == by then
        call('SADD', QUEUES, queue)
      end
    end
  end
end

-- One element is enough: whoever takes it and leaves something behind wakes the next. Of a paused queue there is
-- nothing to have.
local function wake(queue)
  if call('EXISTS', WAKE .. queue, PAUSED .. queue) == 0 then
    call('RPUSH', WAKE .. queue, 1)
  end
end

-- A hash of up to 512 short entries is kept as a list and searched from front to back, which cost more than all else
-- in a fetch. One long value makes it a table for good. No id and no lane is empty.
local WIDE_FIELD, WIDE = '', ('-'):rep(65)

-- A token is a fence, followed by `!` when the delivery was handed out alone, or by `?` when it is a suspect
-- that was not.
local function fence_of(token)
  return (token:gsub('[!?]', ''))
end

-- Reading ARGV from front to back.
local cursor = 0

local function take()
  cursor = cursor + 1
  return ARGV[cursor]
end

local function take_number()
  return tonumber(take())
end
