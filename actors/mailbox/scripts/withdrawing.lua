-- Taking a delivery out of where it waits: a queue's lists are gone through for it, so this is for single ones.

-- From its end: what came last is what is changed most, and what came first will not wait for long.
local function take_from(key, id)
  return call('LREM', key, -1, id) == 1
end

local function take_from_lanes(queue, id)
  local lane = call('HGET', ORDERED .. queue, id)
  local found = lane and take_from(lane_key(LANE, queue, lane), id)
    or take_from(lane_key(LINE, queue, actor_of(id)), id)
  if found then
    count(queue, 'waiting', -1)
  end
  return found
end

local function take_from_queue(queue, id)
  return call('ZREM', SCHEDULED .. queue, id) == 1
    or take_from(SUSPECTS .. queue, id)
    or take_from(LONE .. queue, id)
    or has_lanes(queue) and take_from_lanes(queue, id)
    or take_from(READY .. queue, id)
end

-- Where it was found first; its actor's queue may have been another when it was accepted.
local function queues_from(guess)
  local queues = {guess}
  for _, queue in ipairs(call('SMEMBERS', QUEUES)) do
    if queue ~= guess then
      queues[#queues + 1] = queue
    end
  end
  return queues
end

-- Answers what is said of it, and the queue it was taken from.
local function take_out(id, guess)
  if call('HEXISTS', BODIES, id) == 0 then
    return 'g'
  end
  for _, queue in ipairs(queues_from(guess)) do
    if call('ZSCORE', LEASED .. queue, id) then
      return 'l'
    end
    if take_from_queue(queue, id) then
      return 't', queue
    end
  end
  return 'g'
end

-- Takes each out of where it waits and does with it what is to be done; answers a letter for each.
local function take_out_each(n, change)
  local letters = {}
  for position = 1, n do
    local id, guess = take(), take()
    local letter, queue = take_out(id, guess)
    if queue then
      change(queue, id)
    end
    letters[position] = letter
  end
  return table.concat(letters)
end
