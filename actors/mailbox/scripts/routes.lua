-- The subscriptions that a worker confirmed lately; older ones are dropped.
-- ARGV: how long a confirmation lasts. Answers: version, then each subscription's JSON.

local forgotten = call('ZRANGEBYSCORE', CONFIRMED, '-inf', NOW - take_number())
if #forgotten > 0 then
  call('HDEL', ROUTES, unpack(forgotten))
  call('ZREM', CONFIRMED, unpack(forgotten))
  call('INCR', VERSION)
end
return {call('GET', VERSION) or '0', unpack(call('HVALS', ROUTES))}
