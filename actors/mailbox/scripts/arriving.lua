-- The way in of events: which of their deliveries are accepted, and how they are kept.

-- `unpack` puts everything on Lua's stack, which holds 8,000 values.
local SLICE = 4000

local function in_slices(command, key, values)
  for first = 1, #values, SLICE do
    call(command, key, unpack(values, first, math.min(first + SLICE - 1, #values)))
  end
end

-- What is accepted is written together, in order, when all postings are read.
local bodies, arrivals, here = {}, {}, {}
local lanes_of = {}

local function arrive(queue, id)
  local ids = arrivals[queue]
  if not ids then
    ids = {}
    arrivals[queue] = ids
  end
  ids[#ids + 1] = id
end

local function put_in_lane(target)
  local lanes = lanes_of[target.queue] or {WIDE_FIELD, WIDE}
  lanes[#lanes + 1], lanes[#lanes + 2] = target.id, target.lane
  lanes_of[target.queue] = lanes
end

-- An event whose id is not the key of its deliveries is found by their ids, a line each. What is published
-- together is mostly found in few hashes.
local found_by = {}

local function put_alias(event_id, target, delay)
  if is_key_of(event_id, target.id) then
    return
  end
  local known = buckets_lasting(delay + target.window)
  local shard, field = place_of(event_id)
  local key = known[1] .. shard
  local fields = found_by[key] or {expire_at = known.expire_at}
  fields[field] = fields[field] and fields[field] .. '\n' .. target.id or target.id
  found_by[key] = fields
end

local function write_aliases()
  for key, fields in pairs(found_by) do
    local expire_at, values = fields.expire_at, {}
    fields.expire_at = nil
    for field, ids in pairs(fields) do
      values[#values + 1], values[#values + 2] = field, ids
    end
    local is_new = call('EXISTS', key) == 0
    in_slices('HSET', key, values)
    if is_new then
      call('PEXPIREAT', key, expire_at)
    end
  end
end

local function write_arrivals()
  in_slices('HSET', BODIES, bodies)
  write_aliases()
  for queue, lanes in pairs(lanes_of) do
    in_slices('HSET', ORDERED .. queue, lanes)
  end
  for queue, ids in pairs(arrivals) do
    in_slices('RPUSH', READY .. queue, ids)
    wake(queue)
  end
end

-- The way in. A posting is: event, fingerprint, body, delay, due, '1' if its keys were never sent before, '2' if this
-- very posting may have been, else '0', or three more if it inherits a correlation;
-- then, if they may have been, the event's id or '' where it is the key,
-- of one that inherits its own id, the correlation's, that of its cause or '' and the name of that or '',
-- number of targets, and for each target: queue, id, window, ordered lane or ''.
local function take_posting()
  local posting = {event = take(), fingerprint = take(), body = take(),
    delay = take_number(), due = take_number(), sent = take(), targets = {}}
  local sent = posting.sent
  posting.fresh, posting.again = sent == '1' or sent == '4', sent == '2' or sent == '5'
  posting.event_id = posting.fresh and '' or take()
  if sent > '2' then
    posting.came_of = {event = take(), correlation = take(), cause = take(), cause_name = take()}
  end
  for position = 1, take_number() do
    posting.targets[position] = {queue = take(), id = take(), window = take_number(), lane = take()}
  end
  return posting
end

-- A posting is answered with a letter for each of its targets.
local ACCEPTED, DUPLICATE, CONFLICT, WITHHELD = 'a', 'd', 'c', 'w'

-- A completion is kept under the window it was settled with, and a deploy may have changed that since.
local former_windows

local function recall_by_former_window(target)
  if former_windows == nil then
    former_windows = call('EXISTS', FORMER) == 1 and {}
  end
  if not former_windows then
    return false
  end
  local actor = target.id:match('^[^:]*')
  local known = former_windows[actor] or cjson.decode(call('HGET', FORMER, actor) or '{}')
  former_windows[actor] = known
  for window, matters_until in pairs(known) do
    local mark = matters_until > NOW and recall(target.id, tonumber(window))
    if mark then
      return mark
    end
  end
  return false
end

local function verdict_on(target, posting)
  local fingerprint = posting.fingerprint
  local live = here[target.id] or call('HGET', BODIES, target.id)
  if live then
    return sub(live, 1, 16) == fingerprint and DUPLICATE or CONFLICT
  end
  local mark = recall(target.id, target.window) or recall_by_former_window(target)
  if mark then
    return sub(mark, 1, 8) == sub(fingerprint, 1, 8) and DUPLICATE or CONFLICT
  end
  -- The reply to this very posting was lost: what it made may have ended meanwhile.
  if posting.again and recall(target.id .. '#', ENDED_WINDOW) == end_mark(posting.body) then
    return DUPLICATE
  end
  return ACCEPTED
end

local function verdicts_on(posting)
  local verdicts, conflict, named = {}, false, {}
  for position, target in ipairs(posting.targets) do
    local verdict = named[target.id] and DUPLICATE
      or posting.fresh and ACCEPTED or verdict_on(target, posting)
    verdicts[position] = verdict
    named[target.id] = true
    conflict = conflict or verdict == CONFLICT
  end
  if conflict then
    for position, verdict in ipairs(verdicts) do
      verdicts[position] = verdict == CONFLICT and verdict or WITHHELD
    end
  end
  return verdicts
end

local function due_of(posting)
  local due = posting.delay > 0 and NOW + posting.delay or posting.due
  return due > NOW and due or nil
end

-- Counted as accepted, or as `counted_as`.
local function accept(target, stored, due, counted_as)
  bodies[#bodies + 1] = target.id
  bodies[#bodies + 1] = stored
  here[target.id] = stored
  count(target.queue, counted_as or 'accepted', 1)
  if target.lane ~= '' then
    put_in_lane(target)
  end
  if not due then
    return arrive(target.queue, target.id)
  end
  call('ZADD', SCHEDULED .. target.queue, due, target.id)
  if call('ZRANGE', SCHEDULED .. target.queue, 0, 0)[1] == target.id then
    wake(target.queue)
  end
end

local function lasting_of(posting, due)
  local longest = 0
  for _, target in ipairs(posting.targets) do
    longest = math.max(longest, target.window)
  end
  return longest + (due and due - NOW or 0)
end

local function publish(posting)
  if #posting.targets == 0 then
    call('HINCRBY', UNROUTED, posting.event, 1)
  end
  local verdicts = verdicts_on(posting)
  local due = due_of(posting)
  local stored
  for position, target in ipairs(posting.targets) do
    if verdicts[position] == ACCEPTED then
      stored = stored or posting.fingerprint .. NOW_DIGITS
        .. (due and format('%013.0f', due) or NOW_DIGITS) .. posting.body
      accept(target, stored, due)
    elseif verdicts[position] == DUPLICATE then
      count(target.queue, 'duplicates', 1)
    end
    if posting.event_id ~= '' and (verdicts[position] == ACCEPTED or verdicts[position] == DUPLICATE) then
      put_alias(posting.event_id, target, due and due - NOW or 0)
    end
  end
  local letters = table.concat(verdicts)
  if posting.came_of and not letters:find(CONFLICT, 1, true) then
    put_related(posting.came_of, posting.event, lasting_of(posting, due))
  end
  return letters
end
