-- Lease deliveries of one queue: schedules that are due and leases that ran out come first.
-- ARGV: queue, limit, owner, lease, '1' to take one suspect alone, crashes allowed, retention,
-- how long an owner that is told of suspects hunts them.
-- Answers: time, fence, waiting, suspects told, ms until the next thing or -1, then id, stored, history of each.

local queue, limit, owner, lease = take(), take_number(), take(), take_number()
local alone, crashes_allowed, retention, hunt = take() == '1', take_number(), take_number(), take_number()
local ready, suspects = READY .. queue, SUSPECTS .. queue
local scheduled, leased = SCHEDULED .. queue, LEASED .. queue

local function move_due()
  local due = call('ZRANGEBYSCORE', scheduled, '-inf', NOW, 'LIMIT', 0, 1000)
  if #due > 0 then
    call('RPUSH', ready, unpack(due))
    call('ZREM', scheduled, unpack(due))
  end
end

-- A crash takes a whole buffer down, so only a delivery that ran alone is charged for it.
local function charge_crash(id, token)
  local history = cjson.decode(call('HGET', HISTORY, id) or '{}')
  history.attempts = (history.attempts or 0) + 1
  history.crashes = (history.crashes or 0) + 1
  local encoded = cjson.encode(history)
  if history.crashes >= crashes_allowed then
    end_delivery(queue, id, token, 'dead', 'poison', '', encoded, retention)
    return true
  end
  call('HSET', HISTORY, id, encoded)
  return false
end

local function take_over(id)
  local token = call('HGET', FENCES, id)
  call('ZREM', leased, id)
  count(queue, 'takeovers', 1)
  local ended = sub(token, -1) == '!' and charge_crash(id, token)
  if not ended then
    call('HDEL', FENCES, id)
    call('RPUSH', suspects, id)
  end
end

local function choose()
  if alone then
    local id = call('LPOP', suspects)
    return id and {id} or {}
  end
  return limit > 0 and call('LPOP', ready, limit) or {}
end

local function hand_out(ids, answer)
  if #ids == 0 then
    return 0
  end
  local fence = call('INCR', FENCE)
  local token = digits(fence) .. (alone and '!' or '')
  local bodies = call('HMGET', BODIES, unpack(ids))
  local histories = call('HMGET', HISTORY, unpack(ids))
  local fences, leases, ends = {}, {}, NOW + lease
  for position, id in ipairs(ids) do
    if bodies[position] then
      fences[#fences + 1], fences[#fences + 2] = id, token
      leases[#leases + 1], leases[#leases + 2] = ends, id
      answer[#answer + 1] = id
      answer[#answer + 1] = bodies[position]
      answer[#answer + 1] = histories[position]
    end
  end
  call('HSET', FENCES, unpack(fences))
  call('ZADD', leased, unpack(leases))
  return fence
end

-- One owner at a time is told of suspects, for it stops fetching until it can run them alone. If it is lost
-- meanwhile, another is told soon.
local function suspects_told()
  local waiting = call('LLEN', suspects)
  if waiting > 0 and not alone then
    local hunter = call('GET', HUNTER .. queue)
    if hunter and hunter ~= owner then
      return 0
    end
    call('SET', HUNTER .. queue, owner, 'PX', hunt)
  end
  return waiting
end

local function next_in()
  local soonest = -1
  for _, key in ipairs({scheduled, leased}) do
    local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if head[2] then
      local wait = math.max(0, tonumber(head[2]) - NOW)
      soonest = soonest == -1 and wait or math.min(soonest, wait)
    end
  end
  return soonest
end

move_due()
for _, id in ipairs(call('ZRANGEBYSCORE', leased, '-inf', NOW, 'LIMIT', 0, 1000)) do
  take_over(id)
end
local answer = {NOW, 0, 0, 0, 0}
answer[2] = hand_out(choose(), answer)
answer[3] = call('LLEN', ready)
answer[4] = suspects_told()
answer[5] = next_in()
if answer[3] > 0 then
  wake(queue)
end
write_counts()
return answer
