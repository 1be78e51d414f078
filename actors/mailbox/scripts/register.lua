-- Make known what actors subscribe to, and how many of their deliveries may be leased at once.
-- ARGV: the least window, how long a confirmation upholds a subscription, how many an actor's are remembered, how
-- long a worker counts as there; number of subscriptions, each: actor, queue, limit or '', JSON.

local least, upholds, most_said, lasting = take_number(), take_number(), take_number(), take_number()

-- What was completed under another window is looked for until neither window can matter any more.
local function keep_former_windows(actor, before, subscription)
  local known = cjson.decode(call('HGET', FORMER, actor) or '{}')
  local now_said, latest = cjson.decode(subscription).contracts, 0
  for event, window in pairs(before.contracts) do
    local former, new = math.max(window, least), math.max(now_said[event] or 0, least)
    if now_said[event] and former ~= new then
      local matters_until = NOW + math.ceil(1.5 * math.min(former, new))
      known[digits(former)] = math.max(known[digits(former)] or 0, matters_until)
      latest = math.max(latest, matters_until)
    end
  end
  if latest == 0 then
    return
  end
  for window, matters_until in pairs(known) do
    if matters_until <= NOW then
      known[window] = nil
    end
  end
  call('HSET', FORMER, actor, cjson.encode(known))
  call('PEXPIREAT', FORMER, digits(latest), 'NX')
  call('PEXPIREAT', FORMER, digits(latest), 'GT')
end

local function lift_limit(queue, actor)
  if call('HEXISTS', LIMITS .. queue, actor) == 0 then
    return
  end
  -- What waits for a slot is let in by the fetches to come, each as much as it has room for.
  if call('EXISTS', lane_key(LINE, queue, actor)) == 1 then
    call('HSET', LIMITS .. queue, actor, 'none')
  else
    call('HDEL', LIMITS .. queue, actor)
  end
  call('DEL', lane_key(HELD, queue, actor))
  wake(queue)
end

local function set_limit(queue, actor, limit)
  if limit == '' then
    lift_limit(queue, actor)
  else
    call('HSET', LIMITS .. queue, actor, limit)
    call('SADD', QUEUES, queue)
    wake(queue)
  end
end

-- Which of an actor's subscriptions is newer: the place of each among those it has said, 0 if it is not known.
local function note_said(actor, subscription, before)
  local said, of_new, of_before = cjson.decode(call('HGET', SAID, actor) or '[]'), 0, 0
  local digest, former = redis.sha1hex(subscription), before and redis.sha1hex(before)
  for place, each in ipairs(said) do
    of_new = each == digest and place or of_new
    of_before = each == former and place or of_before
  end
  if of_new == 0 then
    said[#said + 1] = digest
    of_new = #said
    call('HSET', SAID, actor, cjson.encode({unpack(said, math.max(1, #said - most_said + 1))}))
  end
  return of_new, of_before
end

local is_attended = call('ZCOUNT', WORKERS, '(' .. digits(NOW - lasting), '+inf') > 0

local function is_upheld(actor)
  local confirmed = tonumber(call('ZSCORE', CONFIRMED, actor) or 0)
  return is_attended and confirmed > NOW - upholds
end

-- In a deploy old workers and new ones say different things of the same actor, by turns.
local function is_outdated(actor, subscription, before)
  local of_new, of_before = note_said(actor, subscription, before)
  return before and of_new < of_before and is_upheld(actor)
end

local changed = false
for _ = 1, take_number() do
  local actor, queue, limit, subscription = take(), take(), take(), take()
  local before = call('HGET', ROUTES, actor)
  local outdated = before ~= subscription and is_outdated(actor, subscription, before)
  if before ~= subscription and not outdated then
    local former = before and cjson.decode(before)
    if former then
      keep_former_windows(actor, former, subscription)
    end
    if former and former.queue ~= queue then
      lift_limit(former.queue, actor)
    end
    set_limit(queue, actor, limit)
    call('HSET', ROUTES, actor, subscription)
    changed = true
  end
  if not outdated then
    call('ZADD', CONFIRMED, NOW, actor)
  end
end
if changed then
  call('INCR', VERSION)
end
