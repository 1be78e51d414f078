-- The end of a delivery that did not succeed.

local function forget(id)
  call('HDEL', BODIES, id)
  call('HDEL', FENCES, id)
  call('HDEL', HISTORY, id)
end

local function end_delivery(queue, id, token, kind, reason, detail, history, retention)
  local name = id .. '#' .. fence_of(token)
  local key = ENDED .. name
  local stored = call('HGET', BODIES, id)
  call('HSET', key, 'kind', kind, 'reason', reason, 'detail', detail, 'queue', queue,
    'at', digits(NOW), 'history', history, 'stored', stored)
  call('PEXPIRE', key, retention)
  call('ZADD', ENDED_IN .. queue, NOW, name)
  call('ZREMRANGEBYSCORE', ENDED_IN .. queue, '-inf', NOW - retention)
  forget(id)
  count(queue, kind, 1)
end
