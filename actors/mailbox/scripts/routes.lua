-- The subscriptions that a worker confirmed lately; older ones are dropped.
-- ARGV: how long a confirmation lasts, how long it upholds a subscription, how long a worker counts as there.
-- Answers: version, the actors whose subscription is upheld, then each subscription's JSON.

local lasts, upholds, lasting = take_number(), take_number(), take_number()
local forgotten = call('ZRANGEBYSCORE', CONFIRMED, '-inf', NOW - lasts)
if #forgotten > 0 then
  call('HDEL', ROUTES, unpack(forgotten))
  call('HDEL', SAID, unpack(forgotten))
  call('ZREM', CONFIRMED, unpack(forgotten))
  call('INCR', VERSION)
end
local upheld = {}
if call('ZCOUNT', WORKERS, '(' .. digits(NOW - lasting), '+inf') > 0 then
  upheld = call('ZRANGEBYSCORE', CONFIRMED, '(' .. digits(NOW - upholds), '+inf')
end
return {call('GET', VERSION) or '0', upheld, unpack(call('HVALS', ROUTES))}
