-- The end of a delivery that did not succeed.

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

-- A record is kept under a name of its own, for an identity may end more than once.
local function keep_record(record, retention)
  local name = record.id .. '#' .. record.ending
  local key = ENDED .. name
  call('HSET', key, 'kind', record.kind, 'reason', record.reason, 'detail', record.detail, 'queue', record.queue,
    'at', digits(NOW), 'history', record.history, 'stored', record.stored)
  call('PEXPIRE', key, retention)
  call('ZADD', ENDED_IN .. record.queue, NOW, name)
  call('ZREMRANGEBYSCORE', ENDED_IN .. record.queue, '-inf', NOW - retention)
  note_end(record, retention)
  count(record.queue, record.kind, 1)
end

local function end_delivery(queue, id, token, kind, reason, detail, history, retention)
  local stored = call('HGET', BODIES, id)
  remember(id .. '#', end_mark(sub(stored, 43)), ENDED_WINDOW)
  keep_record({id = id, ending = fence_of(token), queue = queue, kind = kind, reason = reason, detail = detail,
    history = history, stored = stored}, retention)
  keep_items(id, id .. '#' .. fence_of(token), retention)
  forget(queue, {id}, true)
end
