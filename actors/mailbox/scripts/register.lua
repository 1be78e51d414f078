-- Make known what actors subscribe to.
-- ARGV: number of subscriptions, each: actor, JSON.

local changed = false
for _ = 1, take_number() do
  local actor, subscription = take(), take()
  if call('HGET', ROUTES, actor) ~= subscription then
    call('HSET', ROUTES, actor, subscription)
    changed = true
  end
  call('ZADD', CONFIRMED, NOW, actor)
end
if changed then
  call('INCR', VERSION)
end
