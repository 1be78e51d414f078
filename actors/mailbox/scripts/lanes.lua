-- Lanes: an ordered lane has one holder until that has ended, an actor with a limit has so many slots.
-- What must wait stands in a list of its own. Slots and lanes are taken by fetch and left here.

-- Queues without lanes pay for this one look.
local laned = {}

local function has_lanes(queue)
  local known = laned[queue]
  if known == nil then
    known = call('EXISTS', ORDERED .. queue, LIMITS .. queue) > 0
    laned[queue] = known
  end
  return known
end

-- What a fetch asks first, so both are one look for queues that are neither paused nor have lanes.
local function is_paused(queue)
  local found = call('EXISTS', PAUSED .. queue, ORDERED .. queue, LIMITS .. queue)
  local paused = found > 0 and call('EXISTS', PAUSED .. queue) == 1
  laned[queue] = found > (paused and 1 or 0)
  return paused
end

-- The length keeps queue and lane apart, whatever their names are.
local function lanes_key(prefix, queue)
  return prefix .. #queue .. ':' .. queue .. ':'
end

local function lane_key(prefix, queue, lane)
  return lanes_key(prefix, queue) .. lane
end

local function actor_of(id)
  return sub(id, 1, (id:find(':', 1, true) or 0) - 1)
end

local limits = {}

local function limits_of(queue)
  local known = limits[queue]
  if not known then
    known = {}
    local flat = call('HGETALL', LIMITS .. queue)
    for position = 1, #flat, 2 do
      known[flat[position]] = tonumber(flat[position + 1]) or math.huge
    end
    limits[queue] = known
  end
  return known
end

local function is_limited(queue, id)
  return has_lanes(queue) and (limits_of(queue)[actor_of(id)] or math.huge) < math.huge
end

-- The ids that are in ordered lanes, and their lanes.
local function in_ordered_lanes(queue, ids)
  local of_them, lanes = {}, {}
  for position, lane in ipairs(call('HMGET', ORDERED .. queue, unpack(ids))) do
    if lane then
      of_them[#of_them + 1] = ids[position]
      lanes[#lanes + 1] = lane
    end
  end
  return of_them, lanes
end

local function write_if_any(command, key, values)
  if #values > 0 then
    call(command, key, unpack(values))
  end
end

-- The next of each lane goes to the head of the queue, for it has waited longest.
local function hand_on(queue, lanes)
  local taken, freed, promoted = {}, {}, {}
  local key = lanes_key(LANE, queue)
  for _, lane in ipairs(lanes) do
    local following = call('LPOP', key .. lane)
    if following then
      taken[#taken + 1], taken[#taken + 2] = lane, following
      promoted[#promoted + 1] = following
    else
      freed[#freed + 1] = lane
    end
  end
  write_if_any('HDEL', HOLDER .. queue, freed)
  write_if_any('HDEL', OWNER .. queue, freed)
  if #promoted > 0 then
    call('HSET', HOLDER .. queue, unpack(taken))
    call('LPUSH', READY .. queue, unpack(promoted))
    count(queue, 'waiting', -#promoted)
    wake(queue)
  end
end

local function leave_slots(queue, ids)
  local known, of_actor = limits_of(queue), {}
  for _, id in ipairs(next(known) and ids or {}) do
    local actor = actor_of(id)
    if known[actor] then
      local some = of_actor[actor] or {}
      some[#some + 1] = id
      of_actor[actor] = some
    end
  end
  for actor, some in pairs(of_actor) do
    call('HDEL', lane_key(HELD, queue, actor), unpack(some))
    if call('EXISTS', lane_key(LINE, queue, actor)) == 1 then
      wake(queue)
    end
  end
end

local function held_lanes(queue, ids, lanes)
  local held = {}
  for position, holder in ipairs(call('HMGET', HOLDER .. queue, unpack(lanes))) do
    if holder == ids[position] then
      held[#held + 1] = lanes[position]
    end
  end
  return held
end

-- The end of deliveries, whichever it is. What is leased holds its lane; of others it must be asked.
local function leave_lanes(queue, ids, leased)
  if not has_lanes(queue) then
    return
  end
  local of_them, lanes = in_ordered_lanes(queue, ids)
  if #of_them > 0 then
    call('HDEL', ORDERED .. queue, unpack(of_them))
    hand_on(queue, leased and lanes or held_lanes(queue, of_them, lanes))
    if call('HLEN', ORDERED .. queue) == 1 then
      call('DEL', ORDERED .. queue, HOLDER .. queue, OWNER .. queue)
    end
  end
  leave_slots(queue, ids)
end
