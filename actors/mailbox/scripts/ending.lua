-- The end of a delivery of which a record is kept.

local function forget(queue, ids, leased)
  call('HDEL', BODIES, unpack(ids))
  call('HDEL', FENCES, unpack(ids))
  call('HDEL', HISTORY, unpack(ids))
  leave_lanes(queue, ids, leased)
end

-- An identity may end without end; this many characters tell of its latest ends.
local MOST_NOTED = 4000

local function with_line(text, line)
  if not text then
    return line
  end
  if ('\n' .. text .. '\n'):find('\n' .. line .. '\n', 1, true) then
    return text
  end
  local joined = line .. '\n' .. text
  return #joined > MOST_NOTED and sub(joined, 1, MOST_NOTED):match('^(.*)\n') or joined
end

local function note_alias(name, line, lasting)
  local known = buckets_lasting(lasting)
  local shard, field = place_of(name)
  local key = known[1] .. shard
  local is_new = call('EXISTS', key) == 0
  call('HSET', key, field, with_line(not is_new and call('HGET', key, field), line))
  if is_new then
    call('PEXPIREAT', key, known.expire_at)
  end
end

-- The event's id where the envelope begins as ours do.
local function event_in(stored)
  return stored:match('^{"specversion":"1.0","id":"([^"\\]+)"', 43)
end

-- A record is found by its delivery's id, and that by the event's if it is another.
local function note_end(record, retention)
  note_alias(record.id .. '#', record.ending, retention)
  local event_id = event_in(record.stored)
  if event_id and not is_key_of(event_id, record.id) then
    note_alias(event_id, record.id, retention)
  end
end

-- What became of the items of deliveries goes with them.
local function drop_items(ids)
  local keys = {}
  for position, id in ipairs(ids) do
    keys[position] = ITEMS .. id
  end
  call('UNLINK', unpack(keys))
end

local function keep_items(id, name, retention)
  if call('EXISTS', ITEMS .. id) == 1 then
    call('RENAME', ITEMS .. id, ENDED_ITEMS .. name)
    call('PEXPIRE', ENDED_ITEMS .. name, retention)
  end
end

-- So many more are forgotten at once than were added: the rest goes with the next.
local MOST_FORGOTTEN = 100

-- A success may bury thousands, and Lua's stack holds 8,000 values.
local FORGOTTEN_IN_ONE = 1000

local function forget_records(kind, queue, names)
  for first = 1, #names, FORGOTTEN_IN_ONE do
    local some, keys = {unpack(names, first, math.min(first + FORGOTTEN_IN_ONE - 1, #names))}, {}
    for _, name in ipairs(some) do
      keys[#keys + 1], keys[#keys + 2] = ENDED .. name, ENDED_ITEMS .. name
    end
    call('ZREM', ENDED_IN .. kind .. ':' .. queue, unpack(some))
    call('ZREM', ENDED_UNTIL .. kind .. ':' .. queue, unpack(some))
    call('UNLINK', unpack(keys))
  end
end

-- Where records were added, how many, and when the last of them will be forgotten.
local added = {}

-- A queue may be gone for good when its last record is forgotten.
local function let_lists_end()
  for list, place in pairs(added) do
    for _, key in ipairs({ENDED_IN .. list, ENDED_UNTIL .. list}) do
      call('PEXPIREAT', key, digits(place.latest), 'NX')
      call('PEXPIREAT', key, digits(place.latest), 'GT')
    end
  end
end

local function make_room(most)
  let_lists_end()
  for list, place in pairs(added) do
    local kept_in, kept_until = ENDED_IN .. list, ENDED_UNTIL .. list
    local lapsed = call('ZRANGEBYSCORE', kept_until, '-inf', NOW, 'LIMIT', 0, place.count + MOST_FORGOTTEN)
    forget_records(place.kind, place.queue, lapsed)
    local over = math.min(call('ZCARD', kept_in) - most, place.count + MOST_FORGOTTEN)
    if over > 0 then
      forget_records(place.kind, place.queue, call('ZRANGE', kept_in, 0, over - 1))
    end
  end
end

local function list_record(name, kind, queue, forget_at)
  local list = kind .. ':' .. queue
  call('ZADD', ENDED_IN .. list, NOW, name)
  call('ZADD', ENDED_UNTIL .. list, digits(forget_at), name)
  local place = added[list] or {kind = kind, queue = queue, count = 0, latest = 0}
  place.count, place.latest = place.count + 1, math.max(place.latest, tonumber(forget_at))
  added[list] = place
end

-- A record is kept under a name of its own, for an identity may end more than once. The body of a success is not.
local function keep_record(record, retention)
  local name, forget_at = record.id .. '#' .. record.ending, NOW + retention
  local key = ENDED .. name
  call('HSET', key, 'kind', record.kind, 'reason', record.reason, 'detail', record.detail, 'queue', record.queue,
    'at', NOW_DIGITS, 'until', digits(forget_at), 'history', record.history, 'facts', record.facts,
    'lane', record.lane or '', 'header', sub(record.stored, 1, 42),
    'body', record.kind == 'succeeded' and '' or sub(record.stored, 43))
  call('PEXPIREAT', key, digits(forget_at))
  list_record(name, record.kind, record.queue, forget_at)
  note_end(record, retention)
  if record.facts ~= '' then
    put_related_of(record.facts, retention)
  end
end

local function lane_of(queue, id)
  return has_lanes(queue) and call('HGET', ORDERED .. queue, id) or ''
end

-- The longest that a contract of its actor asks for, if any does: nobody is there to tell which contract it is.
local function retention_of(id, default)
  local route = cjson.decode(call('HGET', ROUTES, actor_of(id)) or '{}')
  local longest = 0
  for _, retention in pairs(route.retention or {}) do
    longest = math.max(longest, retention)
  end
  return longest > 0 and longest or default
end

-- An end is told by: kind, reason, detail, history, facts, retention, and whether it `waits`: what is leased holds its
-- lane, what waits may not.
local function end_delivery(queue, id, token, told)
  local stored = call('HGET', BODIES, id)
  remember(id .. '#', end_mark(sub(stored, 43)), ENDED_WINDOW)
  keep_record({id = id, ending = fence_of(token), queue = queue, kind = told.kind, reason = told.reason,
    detail = told.detail, history = told.history, facts = told.facts, lane = lane_of(queue, id), stored = stored},
    told.retention)
  keep_items(id, id .. '#' .. fence_of(token), told.retention)
  count(queue, told.kind, 1)
  forget(queue, {id}, not told.waits)
end
