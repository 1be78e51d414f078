-- Make outcomes durable, each if its fence still holds.
-- ARGV: how long and how many records are kept of what contracts do not say; number of groups of plain successes, each: queue, window, n, then id, token,
-- fingerprint of each; number of others, each: kind, queue, id, token, window, fingerprint, delay,
-- reason, detail, history, the event's id where it is not the key, facts or '', retention, version of the routes
-- its postings were routed by or '', number of postings, postings.
-- Answers 1 (settled, now or before), 0 (fenced) or -1 (the routes have changed) for each, in that order.

local default_retention, most_records = take_number(), take_number()
local answers = {}
local settled_here = {}

local function answer(queue, held)
  answers[#answers + 1] = held and 1 or 0
  if not held then
    count(queue, 'fenced', 1)
  end
end

-- The reply to a settlement may have been lost: the same one again must be known, each by what it left.
local function is_repeated_success(id, token, window, fingerprint)
  return is_mark_of(recall(id, window), fingerprint, token, window)
end

local was_settled = {}

function was_settled.succeeded(s)
  return is_repeated_success(s.id, s.token, s.window, s.fingerprint)
end

function was_settled.retried(s)
  return call('HGET', FENCES, s.id) == 'r' .. s.token
end

function was_settled.dead(s)
  -- An operator may have discarded it since.
  local known = call('HMGET', ENDED .. s.id .. '#' .. fence_of(s.token), 'reason', 'was')
  return known[1] == s.reason or known[2] == s.reason
end

was_settled.duplicate = was_settled.succeeded
was_settled.released = was_settled.retried
was_settled.discarded = was_settled.dead

local function settle_successes(queue, window, n)
  -- The hot path: the arguments are read where they stand.
  local ids, first = {}, cursor
  cursor = cursor + 3 * n
  for position = 1, n do
    ids[position] = ARGV[first + 3 * position - 2]
  end
  local fences = call('HMGET', FENCES, unpack(ids))
  local gone, marks = {}, {}
  for position, id in ipairs(ids) do
    local token, fingerprint = ARGV[first + 3 * position - 1], ARGV[first + 3 * position]
    if fences[position] == token and not settled_here[id] then
      settled_here[id] = token
      gone[#gone + 1], marks[#marks + 1] = id, mark_of(fingerprint, token, window)
      answers[#answers + 1] = 1
    else
      answer(queue, settled_here[id] == token or is_repeated_success(id, token, window, fingerprint))
    end
  end
  if #gone > 0 then
    remember_all(gone, marks, window)
    call('HDEL', BODIES, unpack(gone))
    call('HDEL', FENCES, unpack(gone))
    if call('EXISTS', HISTORY) == 1 then
      call('HDEL', HISTORY, unpack(gone))
    end
    call('ZREM', LEASED .. queue, unpack(gone))
    leave_lanes(queue, gone, true)
    count(queue, 'succeeded', #gone)
  end
end

local function come_back(s)
  call('HSET', FENCES, s.id, 'r' .. s.token)
end

local settle = {}

local function complete(s)
  remember(s.id, mark_of(s.fingerprint, s.token, s.window), s.window)
  local has_items = cjson.decode(s.history).items
  if s.facts ~= '' and s.kind == 'succeeded' then
    keep_record({id = s.id, ending = fence_of(s.token), queue = s.queue, kind = s.kind, reason = '', detail = '',
      history = s.history, facts = s.facts, stored = call('HGET', BODIES, s.id)}, s.retention)
    if has_items then
      keep_items(s.id, s.id .. '#' .. fence_of(s.token), s.retention)
    end
  elseif has_items then
    drop_items({s.id})
  end
  forget(s.queue, {s.id}, true)
  count(s.queue, s.kind, 1)
end

settle.succeeded, settle.duplicate = complete, complete

-- It keeps its ordered lane meanwhile, but no slot.
local function wait_until_due(s)
  if has_lanes(s.queue) then
    leave_slots(s.queue, {s.id})
  end
  call('ZADD', SCHEDULED .. s.queue, NOW + s.delay, s.id)
  if call('ZRANGE', SCHEDULED .. s.queue, 0, 0)[1] == s.id then
    wake(s.queue)
  end
end

function settle.retried(s)
  call('HSET', HISTORY, s.id, s.history)
  come_back(s)
  count(s.queue, 'retried', 1)
  if s.event_id ~= '' then
    note_alias(s.event_id, s.id, s.delay + DAY)
  end
  if s.delay > 0 then
    return wait_until_due(s)
  end
  if has_lanes(s.queue) then
    leave_slots(s.queue, {s.id})
  end
  arrive(s.queue, s.id)
end

-- It goes where it will be found first: a suspect keeps its slot, any other goes before those who wait for one.
local function give_back(s)
  local mark = sub(s.token, -1)
  if mark == '!' or mark == '?' then
    call('LPUSH', (mark == '!' and LONE or SUSPECTS) .. s.queue, s.id)
  elseif is_limited(s.queue, s.id) then
    call('LPUSH', lane_key(LINE, s.queue, actor_of(s.id)), s.id)
    count(s.queue, 'waiting', 1)
    leave_slots(s.queue, {s.id})
  else
    call('LPUSH', READY .. s.queue, s.id)
  end
end

function settle.released(s)
  come_back(s)
  count(s.queue, 'released', 1)
  if s.delay > 0 then
    return wait_until_due(s)
  end
  give_back(s)
  wake(s.queue)
end

function settle.dead(s)
  end_delivery(s.queue, s.id, s.token, s)
end

settle.discarded = settle.dead

local function take_settlement()
  local s = {kind = take(), queue = take(), id = take(), token = take(), window = take_number(),
    fingerprint = take(), delay = take_number(), reason = take(), detail = take(), history = take(), event_id = take(),
    facts = take(), retention = take_number(), routes = take(), postings = {}}
  for position = 1, take_number() do
    s.postings[position] = take_posting()
  end
  return s
end

local routes = call('GET', VERSION) or '0'

-- The handler has succeeded, so what it published cannot be refused any more: a conflict is kept among the dead.
-- A fetch gives one fence to many, so the name of a record tells which of them published it.
local function bury(posting, s, nth)
  local publisher = fence_of(s.token) .. '.' .. sub(redis.sha1hex(s.id), 1, 12) .. '.' .. nth
  for position, target in ipairs(posting.targets) do
    count(target.queue, 'accepted', 1)
    count(target.queue, 'dead', 1)
    keep_record({id = target.id, ending = publisher .. '.' .. position, queue = target.queue,
      kind = 'dead', reason = 'payload_conflict', detail = 'published by ' .. s.id, history = '{}',
      facts = '', lane = target.lane, stored = posting.fingerprint .. NOW_DIGITS .. NOW_DIGITS .. posting.body},
      default_retention)
  end
end

local function publish_all(s)
  for nth, posting in ipairs(s.postings) do
    if publish(posting):find(CONFLICT, 1, true) then
      bury(posting, s, nth)
    end
  end
end

for _ = 1, take_number() do
  local queue, window, n = take(), take_number(), take_number()
  settle_successes(queue, window, n)
end
for _ = 1, take_number() do
  local s = take_settlement()
  local held = call('HGET', FENCES, s.id) == s.token
  local completes = s.kind == 'succeeded' or s.kind == 'duplicate'
  if held and completes and s.routes ~= '' and s.routes ~= routes then
    answers[#answers + 1] = -1
  elseif held then
    call('ZREM', LEASED .. s.queue, s.id)
    settle[s.kind](s)
    if completes then
      publish_all(s)
    end
    answer(s.queue, true)
  else
    answer(s.queue, was_settled[s.kind](s))
  end
end
write_arrivals()
write_related()
make_room(most_records)
write_counts()
return answers
