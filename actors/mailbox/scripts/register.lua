-- Make known what actors subscribe to, and how many of their deliveries may be leased at once.
-- ARGV: the least window, number of subscriptions, each: actor, queue, limit or '', JSON.

local least = take_number()

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

local changed = false
for _ = 1, take_number() do
  local actor, queue, limit, subscription = take(), take(), take(), take()
  local before = call('HGET', ROUTES, actor)
  if before ~= subscription then
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
  call('ZADD', CONFIRMED, NOW, actor)
end
if changed then
  call('INCR', VERSION)
end
