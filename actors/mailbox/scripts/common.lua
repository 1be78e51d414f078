-- What several scripts share: the clock, counters, wake-ups, completions and the way in.

local call = redis.call
local sub, byte, format = string.sub, string.byte, string.format

local function server_time()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local NOW = server_time()

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
      call('HINCRBY', COUNTS .. queue, name, by)
    end
  end
end

-- One element is enough: whoever takes it and leaves something behind wakes the next.
local function wake(queue)
  if call('LLEN', WAKE .. queue) == 0 then
    call('RPUSH', WAKE .. queue, 1)
  end
end

-- Completions live in three buckets of half a window each, so they are remembered for one window
-- at least and one and a half at most. A bucket is 16,384 small hashes, which stay compact far into
-- the millions and expire as a whole.
local buckets = {}

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

local function place_of(id)
  local digest = redis.sha1hex(id)
  return sub(digest, 1, 3) .. byte(digest, 4) % 4, sub(digest, 5, 24)
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

-- A token is a fence, followed by `!` when the delivery was handed out alone.
local function fence_of(token)
  return (token:gsub('!', ''))
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

local function forget(id)
  call('HDEL', BODIES, id)
  call('HDEL', FENCES, id)
  call('HDEL', HISTORY, id)
end

local function end_delivery(queue, id, token, kind, reason, detail, history, retention)
  local name = id .. '#' .. fence_of(token)
  local key = ENDED .. name
  local stored = call('HGET', BODIES, id)
  call('HSET', key, 'kind', kind, 'reason', reason, 'detail', detail, 'queue', queue,
    'at', digits(NOW), 'history', history, 'stored', stored)
  call('PEXPIRE', key, retention)
  call('ZADD', ENDED_IN .. queue, NOW, name)
  call('ZREMRANGEBYSCORE', ENDED_IN .. queue, '-inf', NOW - retention)
  forget(id)
  count(queue, kind, 1)
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

-- `unpack` puts everything on Lua's stack, which holds 8,000 values.
local SLICE = 4000

local function in_slices(command, key, values)
  for first = 1, #values, SLICE do
    call(command, key, unpack(values, first, math.min(first + SLICE - 1, #values)))
  end
end

-- What is accepted is written together, in order, when all postings are read.
local bodies, arrivals, here = {}, {}, {}

local function arrive(queue, id)
  local ids = arrivals[queue]
  if not ids then
    ids = {}
    arrivals[queue] = ids
  end
  ids[#ids + 1] = id
end

local function write_arrivals()
  in_slices('HSET', BODIES, bodies)
  for queue, ids in pairs(arrivals) do
    in_slices('RPUSH', READY .. queue, ids)
    wake(queue)
  end
end

-- The way in. A posting is: event, fingerprint, body, delay, due, '1' if its keys were never sent before,
-- number of targets, and for each target: queue, id, window.
local function take_posting()
  local posting = {event = take(), fingerprint = take(), body = take(),
    delay = take_number(), due = take_number(), fresh = take() == '1', targets = {}}
  for position = 1, take_number() do
    posting.targets[position] = {queue = take(), id = take(), window = take_number()}
  end
  return posting
end

local function verdict_on(target, fingerprint)
  local live = here[target.id] or call('HGET', BODIES, target.id)
  if live then
    return sub(live, 1, 16) == fingerprint and 'duplicate' or 'conflict'
  end
  local mark = recall(target.id, target.window)
  if mark then
    return sub(mark, 1, 8) == sub(fingerprint, 1, 8) and 'duplicate' or 'conflict'
  end
  return 'accepted'
end

local function verdicts_on(posting)
  local verdicts, conflict = {}, false
  for position, target in ipairs(posting.targets) do
    local verdict = posting.fresh and 'accepted' or verdict_on(target, posting.fingerprint)
    verdicts[position] = verdict
    conflict = conflict or verdict == 'conflict'
  end
  if conflict then
    for position, verdict in ipairs(verdicts) do
      verdicts[position] = verdict == 'conflict' and verdict or 'withheld'
    end
  end
  return verdicts
end

local now_digits = format('%013.0f', NOW)

local function due_of(posting)
  local due = posting.delay > 0 and NOW + posting.delay or posting.due
  return due > NOW and due or nil
end

local function accept(target, stored, due)
  bodies[#bodies + 1] = target.id
  bodies[#bodies + 1] = stored
  here[target.id] = stored
  if not counted[target.queue] then
    call('SADD', QUEUES, target.queue)
  end
  count(target.queue, 'accepted', 1)
  if not due then
    return arrive(target.queue, target.id)
  end
  call('ZADD', SCHEDULED .. target.queue, due, target.id)
  if call('ZRANGE', SCHEDULED .. target.queue, 0, 0)[1] == target.id then
    wake(target.queue)
  end
end

local function publish(posting)
  if #posting.targets == 0 then
    call('HINCRBY', UNROUTED, posting.event, 1)
  end
  local verdicts = verdicts_on(posting)
  local due = due_of(posting)
  local stored
  for position, target in ipairs(posting.targets) do
    if verdicts[position] == 'accepted' then
      stored = stored or posting.fingerprint .. now_digits
        .. (due and format('%013.0f', due) or now_digits) .. posting.body
      accept(target, stored, due)
    elseif verdicts[position] == 'duplicate' then
      count(target.queue, 'duplicates', 1)
    end
  end
  return verdicts
end
