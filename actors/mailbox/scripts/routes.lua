-- The subscriptions that a worker confirmed lately; older ones are dropped.
-- ARGV: how long a confirmation lasts, how long it upholds a subscription, how long a worker counts as there.
-- Answers: version, the actors whose subscription is upheld, then each subscription's JSON.

local lasts, upholds, lasting = take_number(), take_number(), take_number()
local forgotten = call('ZRANGEBYSCORE', CONFIRMED, '-inf', NOW - lasts)
-- Who may only look or publish leaves out what is over, and the next worker forgets it.
if #forgotten > 0 and redis.acl_check_cmd('HDEL', ROUTES, forgotten[1]) then
  call('HDEL', ROUTES, unpack(forgotten))
  call('HDEL', SAID, unpack(forgotten))
  call('ZREM', CONFIRMED, unpack(forgotten))
  call('INCR', VERSION)
end
local upheld = {}
if call('ZCOUNT', WORKERS, '(' .. digits(NOW - lasting), '+inf') > 0 then
  upheld = call('ZRANGEBYSCORE', CONFIRMED, '(' .. digits(NOW - upholds), '+inf')
end
local is_over, answer = {}, {call('GET', VERSION) or '0', upheld}
for _, actor in ipairs(forgotten) do
  is_over[actor] = true
end
local subscriptions = call('HGETALL', ROUTES)
for position = 1, #subscriptions, 2 do
  if not is_over[subscriptions[position]] then
    answer[#answer + 1] = subscriptions[position + 1]
  end
end
return answer
