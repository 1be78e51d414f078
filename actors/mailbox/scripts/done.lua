-- What was completed, remembered for the window of its contract.

-- Completions live in three buckets of half a window each, so they are remembered for one window
-- at least and one and a half at most. A bucket is 16,384 small hashes, which stay compact far into
-- the millions and expire as a whole.
local buckets = {}
local ENDED_WINDOW = 120000

-- A body holds the event's own id, so this tells one publish from another of the same key.
local function end_mark(body)
  return sub(redis.sha1hex(body), 1, 12)
end

local function buckets_of(window)
  local known = buckets[window]
  if not known then
    local half = math.floor(window / 2)
    local current = math.floor(NOW / half)
    known = {expire_at = digits((current + 3) * half)}
    for back = 0, 2 do
      known[back + 1] = DONE .. digits(window) .. ':' .. digits(current - back) .. ':'
    end
    buckets[window] = known
  end
  return known
end

-- Text, for Lua is slow to make text of a number.
local QUARTERS = {'0', '1', '2', '3'}

local function place_of(id)
  local digest = redis.sha1hex(id)
  return sub(digest, 1, 3) .. QUARTERS[byte(digest, 4) % 4 + 1], sub(digest, 5, 24)
end

local function remember(id, mark, window)
  local known = buckets_of(window)
  local shard, field = place_of(id)
  local key = known[1] .. shard
  local is_new = call('EXISTS', key) == 0
  call('HSET', key, field, mark)
  if is_new then
    call('PEXPIREAT', key, known.expire_at)
  end
end

local function recall(id, window)
  local known = buckets_of(window)
  local shard, field = place_of(id)
  for back = 1, 3 do
    local mark = call('HGET', known[back] .. shard, field)
    if mark then
      return mark
    end
  end
  return false
end

-- A mark tells the body (8 of the fingerprint's digits) and the settlement (4 of the fence's).
local tails = {}

local function mark_of(fingerprint, token)
  local tail = tails[token]
  if not tail then
    tail = sub('000' .. fence_of(token), -4)
    tails[token] = tail
  end
  return sub(fingerprint, 1, 8) .. tail
end
