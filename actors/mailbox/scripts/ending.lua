-- The end of a delivery that did not succeed.

local function forget(queue, ids, leased)
  call('HDEL', BODIES, unpack(ids))
  call('HDEL', FENCES, unpack(ids))
  call('HDEL', HISTORY, unpack(ids))
  leave_lanes(queue, ids, leased)
end

-- A record is kept under a name of its own, for an identity may end more than once.
local function keep_record(record, retention)
  local key = ENDED .. record.name
  call('HSET', key, 'kind', record.kind, 'reason', record.reason, 'detail', record.detail, 'queue', record.queue,
    'at', digits(NOW), 'history', record.history, 'stored', record.stored)
  call('PEXPIRE', key, retention)
  call('ZADD', ENDED_IN .. record.queue, NOW, record.name)
  call('ZREMRANGEBYSCORE', ENDED_IN .. record.queue, '-inf', NOW - retention)
  count(record.queue, record.kind, 1)
end

local function end_delivery(queue, id, token, kind, reason, detail, history, retention)
  local stored = call('HGET', BODIES, id)
  remember(id .. '#', end_mark(sub(stored, 43)), ENDED_WINDOW)
  keep_record({name = id .. '#' .. fence_of(token), queue = queue, kind = kind, reason = reason, detail = detail,
    history = history, stored = stored}, retention)
  forget(queue, {id}, true)
end
