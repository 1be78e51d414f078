-- Where the deliveries of an event stand, or the one delivery of an id: live, completed, ended, or all of them.
-- ARGV: the event's or the delivery's id, how far into a list is looked, how many records of each delivery.
-- Answers: time, then for each delivery that is known of: id, queue, what is live of it, its completion, the names of
-- what ended and all that is kept of each.

local wanted, most_looked_at, most_records = take(), take_number(), take_number()

-- What is noted under a name, each line once.
local function aliases(name)
  local lines, seen = {}, {}
  local shard, field = place_of(name)
  for _, last in ipairs(LASTS) do
    for back = 1, 3 do
      local text = call('HGET', alias_buckets(last)[back] .. shard, field) or ''
      for line in text:gmatch('[^\n]+') do
        if not seen[line] then
          seen[line] = true
          lines[#lines + 1] = line
        end
      end
    end
  end
  return lines
end

-- When something was completed and how exactly that is known, in milliseconds; nothing if it was not.
local function completed_at(id, window)
  local known = buckets_of(window)
  local mark, back = recall(id, window)
  if mark then
    local moment = tonumber(sub(mark, 13), 16)
    local within = moment and math.ceil(known.half / MOMENTS) or known.half
    return (known.current - back + 1) * known.half + math.floor((moment or 0) * known.half / MOMENTS), within
  end
end

local function routes_in_order()
  local routes, flat = {}, call('HGETALL', ROUTES)
  for position = 2, #flat, 2 do
    routes[#routes + 1] = cjson.decode(flat[position])
  end
  table.sort(routes, function(one, other)
    if one.order == other.order then
      return one.actor < other.actor
    end
    return one.order < other.order
  end)
  return routes
end

local routes = routes_in_order()
local by_actor = {}
for _, route in ipairs(routes) do
  by_actor[route.actor] = route
end
local queues = call('SMEMBERS', QUEUES)
table.sort(queues)

-- Its actor's queue first; it may have been another when the delivery was accepted.
local function queues_of(id)
  local route = by_actor[actor_of(id)]
  local of_it = {route and route.queue}
  for _, queue in ipairs(queues) do
    if queue ~= of_it[1] then
      of_it[#of_it + 1] = queue
    end
  end
  return of_it
end

local function ahead_in(key, id)
  return call('LPOS', key, id, 'MAXLEN', most_looked_at)
end

local function owner_of(queue, id)
  local lane = has_lanes(queue) and call('HGET', ORDERED .. queue, id)
  return lane and call('HGET', OWNER .. queue, lane)
    or is_limited(queue, id) and call('HGET', lane_key(HELD, queue, actor_of(id)), id) or ''
end

-- Whoever holds its ordered lane, if it is another; and how many are before it.
local function behind_whom(queue, id)
  local lane = call('HGET', ORDERED .. queue, id)
  local holder = lane and call('HGET', HOLDER .. queue, lane)
  if holder and holder ~= id then
    return holder, ahead_in(lane_key(LANE, queue, lane), id)
  end
end

-- State, when it ends by itself, owner, how many are ahead, whom it waits behind.
local function stands_in(queue, id)
  local until_when = call('ZSCORE', LEASED .. queue, id)
  if until_when then
    return {'leased', until_when, owner_of(queue, id), -1, ''}
  end
  until_when = call('ZSCORE', SCHEDULED .. queue, id)
  if until_when then
    return {'scheduled', until_when, '', -1, ''}
  end
  for _, list in ipairs({SUSPECTS, LONE}) do
    local ahead = ahead_in(list .. queue, id)
    if ahead then
      return {'suspect', '', '', ahead, ''}
    end
  end
  if has_lanes(queue) then
    local holder, ahead = behind_whom(queue, id)
    if holder then
      return {'waiting', '', '', ahead or -1, holder}
    end
    ahead = ahead_in(lane_key(LINE, queue, actor_of(id)), id)
    if ahead then
      return {'waiting', '', '', ahead, ''}
    end
  end
  local ahead = ahead_in(READY .. queue, id)
  return ahead and {'ready', '', '', ahead, ''}
end

local function live_of(id)
  local stored = call('HGET', BODIES, id)
  if not stored then
    return '', false
  end
  local among = queues_of(id)
  for _, queue in ipairs(among) do
    local stands = stands_in(queue, id)
    if stands then
      return queue, {stored, call('HGET', HISTORY, id) or '', unpack(stands)}
    end
  end
  -- Deep in a list, or about to be: it is what most of those that are ready stand in.
  return among[1] or '', {stored, call('HGET', HISTORY, id) or '', 'ready', '', '', -1, ''}
end

local function windows_of(actor)
  local windows = {[120000] = true}
  for _, window in pairs((by_actor[actor] or {contracts = {}}).contracts) do
    windows[math.max(window, 120000)] = true
  end
  for window in pairs(cjson.decode(call('HGET', FORMER, actor) or '{}')) do
    windows[tonumber(window)] = true
  end
  return windows
end

-- The latest, for a key may have been completed under one window and then under another.
local function completion_of(id)
  local latest = false
  for window in pairs(windows_of(actor_of(id))) do
    local at, within = completed_at(id, window)
    if at and (not latest or at > latest[1]) then
      latest = {at, within}
    end
  end
  return latest
end

-- The latest first. There may be thousands of one event: bodies only where nothing else tells what they are of.
local function records_of(id)
  local records = {}
  for _, ending in ipairs(aliases(id .. '#')) do
    if #records < 2 * most_records then
      put_record(records, id .. '#' .. ending, true)
    end
  end
  for position = 2, #records, 2 do
    put_body_if_untold(records[position - 1], records[position])
  end
  return records
end

local function candidates()
  local ids, seen = {}, {}
  local function add(id)
    if not seen[id] then
      seen[id] = true
      ids[#ids + 1] = id
    end
  end
  for _, route in ipairs(routes) do
    add(route.actor .. ':' .. wanted)
  end
  for _, id in ipairs(aliases(wanted)) do
    add(id)
  end
  add(wanted)
  return ids
end

local answer = {NOW}
for _, id in ipairs(candidates()) do
  local queue, live = live_of(id)
  local completion, records = completion_of(id), records_of(id)
  if live or completion or #records > 0 then
    answer[#answer + 1] = {id, queue, live, completion, records}
  end
end
return answer
