-- What was completed, remembered for the window of its contract.

-- Completions live in three buckets of half a window each, so they are remembered for one window
-- at least and one and a half at most. A bucket is 16,384 small hashes, which stay compact far into
-- the millions and expire as a whole.
local buckets = {}
local ENDED_WINDOW = 120000

-- The first is the one to write to.
local function three_buckets(prefix, window)
  local half = math.floor(window / 2)
  local current = math.floor(NOW / half)
  local three = {half = half, current = current, expire_at = digits((current + 3) * half)}
  local of_window = prefix .. digits(window) .. ':'
  for back = 0, 2 do
    three[back + 1] = of_window .. digits(current - back) .. ':'
  end
  return three
end

-- A body holds the event's own id, so this tells one publish from another of the same key.
local function end_mark(body)
  return sub(redis.sha1hex(body), 1, 12)
end

-- When is told in 65,536ths of a bucket: the same for all that a script completes within one window.
local MOMENTS = 65536

local function buckets_of(window)
  local known = buckets[window]
  if not known then
    known = three_buckets(DONE, window)
    known.moment = format('%04x', math.floor((NOW - known.current * known.half) * MOMENTS / known.half))
    known.tails = {}
    buckets[window] = known
  end
  return known
end

-- A shard is three hexadecimal digits and a quarter: text, for Lua is slow to make text of a number.
local QUARTERS = {'0', '1', '2', '3'}
local DASH, SEVEN = byte('-'), byte('7')

-- What was published together is mostly settled together. A key that is an event's own id tells the millisecond
-- it was made in, and goes by that and a random quarter, so that a group is written into a few hashes, none of
-- which grows long in a burst. Any other key goes by its digest.
local function shard_of(id, digest)
  if byte(id, -28) == DASH and byte(id, -23) == DASH and byte(id, -22) == SEVEN then
    return sub(id, -26, -24) .. QUARTERS[byte(id, -1) % 4 + 1]
  end
  return sub(digest, 1, 3) .. QUARTERS[byte(digest, 4) % 4 + 1]
end

local function place_of(id)
  local digest = redis.sha1hex(id)
  return shard_of(id, digest), sub(digest, 5, 24)
end

-- Ids, each with its mark.
local function remember_all(ids, marks, window)
  local known, shards = buckets_of(window), {}
  for position, id in ipairs(ids) do
    local shard, field = place_of(id)
    local fields = shards[shard]
    if fields then
      fields[#fields + 1], fields[#fields + 2] = field, marks[position]
    else
      shards[shard] = {field, marks[position]}
    end
  end
  for shard, fields in pairs(shards) do
    local key = known[1] .. shard
    local is_new = call('EXISTS', key) == 0
    call('HSET', key, unpack(fields))
    if is_new then
      call('PEXPIREAT', key, known.expire_at)
    end
  end
end

local function remember(id, mark, window)
  remember_all({id}, {mark}, window)
end

-- The mark of what was completed, and how many buckets back it is, counted from 1; false if it was not.
local function recall(id, window)
  local known = buckets_of(window)
  local shard, field = place_of(id)
  for back = 1, 3 do
    local mark = call('HGET', known[back] .. shard, field)
    if mark then
      return mark, back
    end
  end
  return false
end

-- A mark tells the body (8 of the fingerprint's digits), the settlement (4 of the fence's) and when it was (4).
local MARK_WITHOUT_MOMENT = 12

local function mark_of(fingerprint, token, window)
  local known = buckets_of(window)
  local tail = known.tails[token]
  if not tail then
    tail = sub('000' .. fence_of(token), -4) .. known.moment
    known.tails[token] = tail
  end
  return sub(fingerprint, 1, 8) .. tail
end

local function is_mark_of(mark, fingerprint, token, window)
  return mark and sub(mark, 1, MARK_WITHOUT_MOMENT) == sub(mark_of(fingerprint, token, window), 1, MARK_WITHOUT_MOMENT)
end
