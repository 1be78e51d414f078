-- What a fetch hands out of a queue with lanes, and what it puts aside in them.

-- How much of the queue a fetch goes through at most, for nobody else is served meanwhile.
local MOST_LOOKED_AT, WIDEST = 2000, 500

local function slots_of(queue)
  local slots, in_turn = {}, {}
  for actor, limit in pairs(limits_of(queue)) do
    local slot = {actor = actor, endless = limit == math.huge, new = {},
      line = lane_key(LINE, queue, actor), held = lane_key(HELD, queue, actor)}
    slot.taken, slot.waiting = call('HLEN', slot.held), call('LLEN', slot.line)
    slot.free = math.max(0, limit - slot.taken)
    slots[actor] = slot
    in_turn[#in_turn + 1] = slot
  end
  -- Whoever has least goes first, so that no actor's line is starved by another's.
  table.sort(in_turn, function(one, other)
    if one.taken == other.taken then
      return one.actor < other.actor
    end
    return one.taken < other.taken
  end)
  return slots, in_turn
end

local function take_slot(slot, id, owner)
  if not slot.endless then
    slot.free = slot.free - 1
    slot.new[#slot.new + 1], slot.new[#slot.new + 2] = id, owner
  end
end

-- Written for what leaves a line or is a suspect; `admit` does it for all others.
local function note_owner(queue, ids, owner)
  local _, lanes = in_ordered_lanes(queue, ids)
  for _, lane in ipairs(lanes) do
    call('HSET', OWNER .. queue, lane, owner)
  end
end

local function choose_from_lines(queue, in_turn, limit, owner)
  local chosen = {}
  for _, slot in ipairs(in_turn) do
    local n = math.min(slot.free, slot.waiting, limit - #chosen)
    if n > 0 then
      for _, id in ipairs(call('LPOP', slot.line, n)) do
        take_slot(slot, id, owner)
        chosen[#chosen + 1] = id
      end
      slot.waiting = slot.waiting - n
      count(queue, 'waiting', -n)
    end
    if slot.endless and slot.waiting == 0 then
      call('HDEL', LIMITS .. queue, slot.actor)
    end
  end
  if #chosen > 0 then
    note_owner(queue, chosen, owner)
  end
  return chosen
end

-- Who holds the lanes of these ids; in the order of the ids, with false for those in no ordered lane.
local function lanes_and_holders(queue, ids)
  local lanes = call('HMGET', ORDERED .. queue, unpack(ids))
  local of_them, names = {}, {}
  for _, lane in ipairs(lanes) do
    if lane then
      names[#names + 1] = lane
    end
  end
  if #names > 0 then
    for position, holder in ipairs(call('HMGET', HOLDER .. queue, unpack(names))) do
      of_them[names[position]] = holder
    end
  end
  return lanes, of_them
end

-- Goes through ids at the head of the queue until there is enough; answers how many it went through.
local function admit(queue, ids, slots, chosen, limit, owner)
  local lanes, holders = lanes_and_holders(queue, ids)
  local new, owners, looked_at, aside = {WIDE_FIELD, WIDE}, {WIDE_FIELD, WIDE}, #ids, 0
  local any_limit, behind = next(slots) ~= nil, lanes_key(LANE, queue)
  for position, id in ipairs(ids) do
    local lane, slot = lanes[position], any_limit and slots[actor_of(id)]
    if lane and holders[lane] and holders[lane] ~= id then
      call('RPUSH', behind .. lane, id)
      aside = aside + 1
    else
      if lane and not holders[lane] then
        holders[lane] = id
        new[#new + 1], new[#new + 2] = lane, id
      end
      if slot and slot.free == 0 then
        call('RPUSH', slot.line, id)
        slot.waiting = slot.waiting + 1
        aside = aside + 1
      else
        chosen[#chosen + 1] = id
        if lane then
          owners[#owners + 1], owners[#owners + 2] = lane, owner
        end
        if slot then
          take_slot(slot, id, owner)
        end
      end
    end
    if #chosen == limit then
      looked_at = position
      break
    end
  end
  if #new > 2 then
    call('HSET', HOLDER .. queue, unpack(new))
  end
  if #owners > 2 then
    call('HSET', OWNER .. queue, unpack(owners))
  end
  count(queue, 'waiting', aside)
  return looked_at
end

local function choose_through_lanes(queue, limit, owner)
  local slots, in_turn = slots_of(queue)
  local chosen = choose_from_lines(queue, in_turn, limit, owner)
  local looked_at, width = 0, limit - #chosen
  while #chosen < limit and looked_at < MOST_LOOKED_AT do
    local ids = call('LRANGE', READY .. queue, 0, width - 1)
    if #ids == 0 then
      break
    end
    local n = admit(queue, ids, slots, chosen, limit, owner)
    call('LTRIM', READY .. queue, n, -1)
    looked_at = looked_at + n
    width = math.min(4 * width, WIDEST)
  end
  for _, slot in ipairs(in_turn) do
    write_if_any('HSET', slot.held, slot.new)
  end
  return chosen
end

-- How many of those who wait for a slot could be handed out.
local function left_in_lines(queue)
  local left = 0
  for actor, limit in pairs(limits_of(queue)) do
    local free = limit - call('HLEN', lane_key(HELD, queue, actor))
    left = left + math.max(0, math.min(free, call('LLEN', lane_key(LINE, queue, actor))))
  end
  return left
end

-- A suspect has its lane already, and its slot unless the limit is newer than its lease.
local function take_alone(queue, id, owner)
  if is_limited(queue, id) then
    call('HSET', lane_key(HELD, queue, actor_of(id)), id, owner)
  end
  if has_lanes(queue) then
    note_owner(queue, {id}, owner)
  end
end
