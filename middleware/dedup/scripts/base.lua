-- What every script begins with. KEYS: the live key, the done key, the fence counter.
-- The live key is a hash while the key is worked on or waits for another attempt: fence, owner, until (when the
-- lease ends; absent when nobody holds it), print (the fingerprint), lost (owners lost so far that were
-- charged), beside ('1' if the present owner is not), ended (the last
-- settlement and its fence). The done key is a string, fence and fingerprint, as long as the window lasts.

local call = redis.call
local LIVE, DONE, FENCE = KEYS[1], KEYS[2], KEYS[3]

local function now()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Lua writes large numbers as 1.7e+12 unless told otherwise.
local function digits(number)
  return string.format('%.0f', number)
end
