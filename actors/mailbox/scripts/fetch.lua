-- Lease deliveries of one queue: schedules that are due and leases that ran out come first.
-- ARGV: queue, limit, owner, lease, `alone` or `beside` to take one suspect that shall run alone or, where that
-- cannot be, beside others, how many suspects may be handed out together or -1 if each is to run alone,
-- crashes allowed, how long and how many records are kept, how long an owner that is told of suspects hunts them
-- or 0 if it will not, how often a paused queue is looked at.
-- Answers: time, fence, waiting, suspects told, ms until the next thing or -1, suspects left that may be handed
-- out together, the mark of what is handed out, what was taken over (how many, then id, stored, history of each that
-- is dead by it), then id, stored, history of each that is handed out.

local queue, limit, owner, lease = take(), take_number(), take(), take_number()
local how, together, crashes_allowed = take(), take_number(), take_number()
local default_retention, most_records, hunt, paused_look = take_number(), take_number(), take_number(), take_number()
local ready, suspects, lone = READY .. queue, SUSPECTS .. queue, LONE .. queue
local scheduled, leased = SCHEDULED .. queue, LEASED .. queue

local function move_due()
  local due = call('ZRANGEBYSCORE', scheduled, '-inf', NOW, 'LIMIT', 0, 1000)
  if #due > 0 then
    -- A script that is refused in its middle is not undone. No id is empty, so the first asks for permission alone.
    call('ZREM', scheduled, '')
    call('RPUSH', ready, unpack(due))
    call('ZREM', scheduled, unpack(due))
  end
end

-- What is put behind the fence: what becomes of the delivery if its lease runs out is known by it.
local marks = {alone = '!', beside = '?'}
local mark = marks[how] or ''

local taken_over = {0}

-- A crash takes a whole buffer down, so only a delivery that ran alone is charged for it.
local function charge_crash(id, token)
  local history = cjson.decode(call('HGET', HISTORY, id) or '{}')
  history.attempts = (history.attempts or 0) + 1
  history.crashes = (history.crashes or 0) + 1
  local encoded = cjson.encode(history)
  if history.crashes >= crashes_allowed then
    taken_over[#taken_over + 1], taken_over[#taken_over + 2] = id, call('HGET', BODIES, id)
    taken_over[#taken_over + 1] = encoded
    end_delivery(queue, id, token, {kind = 'dead', reason = 'poison', detail = '', history = encoded, facts = '',
      retention = retention_of(id, default_retention)})
    return true
  end
  call('HSET', HISTORY, id, encoded)
  return false
end

local function take_over(id)
  local token = call('HGET', FENCES, id)
  call('ZREM', leased, id)
  count(queue, 'takeovers', 1)
  taken_over[1] = taken_over[1] + 1
  local held_as = token and sub(token, -1)
  local ended = held_as == '!' and charge_crash(id, token)
  if not ended then
    call('HDEL', FENCES, id)
    call('RPUSH', (held_as == '!' or held_as == '?') and lone or suspects, id)
  end
end

local function choose_alone()
  return {together < 0 and call('LPOP', suspects) or call('LPOP', lone) or nil}
end

local function choose_together()
  local n = math.min(limit, together)
  return n > 0 and call('LPOP', suspects, n) or {}
end

local function choose_suspects()
  local ids = marks[how] and choose_alone() or choose_together()
  for _, id in ipairs(ids) do
    take_alone(queue, id, owner)
  end
  return ids
end

local function choose()
  local ids = choose_suspects()
  if #ids > 0 or marks[how] then
    mark = marks[how] or '?'
    return ids
  end
  if has_lanes(queue) then
    return choose_through_lanes(queue, limit, owner)
  end
  return limit > 0 and call('LPOP', ready, limit) or {}
end

local function hand_out(ids, answer)
  if #ids == 0 then
    return 0
  end
  local fence = call('INCR', FENCE)
  local token = digits(fence) .. mark
  local bodies = call('HMGET', BODIES, unpack(ids))
  local histories = call('EXISTS', HISTORY) == 1 and call('HMGET', HISTORY, unpack(ids)) or {}
  local fences, leases, lost, ends = {WIDE_FIELD, WIDE}, {}, {}, NOW + lease
  for position, id in ipairs(ids) do
    if bodies[position] then
      fences[#fences + 1], fences[#fences + 2] = id, token
      leases[#leases + 1], leases[#leases + 2] = ends, id
      answer[#answer + 1] = id
      answer[#answer + 1] = bodies[position]
      answer[#answer + 1] = histories[position] or false
    else
      lost[#lost + 1] = id
    end
  end
  if #leases > 0 then
    call('HSET', FENCES, unpack(fences))
    call('ZADD', leased, unpack(leases))
  end
  if #lost > 0 then
    forget(queue, lost)
    drop_items(lost)
  end
  return fence
end

-- One owner at a time is told of suspects, for it stops fetching until it can run them alone. If it is lost
-- meanwhile, another is told soon.
local function suspects_told(left)
  local waiting = call('LLEN', lone) + (together < 0 and left or 0)
  if hunt == 0 then
    return 0
  end
  if waiting > 0 and not marks[how] then
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
local expired = call('ZRANGEBYSCORE', leased, '-inf', NOW, 'LIMIT', 0, 1000)
for _, id in ipairs(expired) do
  take_over(id)
end
if is_paused(queue) then
  -- What comes due meanwhile is moved in, but nobody shall look more than once a second for that.
  local soonest = next_in()
  make_room(most_records)
  write_counts()
  return {NOW, 0, 0, 0, soonest == -1 and -1 or math.max(soonest, paused_look), 0, '', taken_over}
end
local answer = {NOW, 0, 0, 0, 0, 0, '', taken_over}
answer[2] = hand_out(choose(), answer)
local handed_out = #answer - 8
local left = call('LLEN', suspects)
answer[3] = call('LLEN', ready) + (has_lanes(queue) and left_in_lines(queue) or 0)
answer[4] = suspects_told(left)
answer[5] = next_in()
answer[6] = together < 0 and 0 or left
answer[7] = mark
-- Suspects wake another only as long as some are handed out, or those who have no room for more would wake
-- each other without end.
if answer[3] > 0 or (answer[6] > 0 and (#expired > 0 or (mark == '?' and handed_out > 0))) then
  wake(queue)
end
make_room(most_records)
write_counts()
return answer
