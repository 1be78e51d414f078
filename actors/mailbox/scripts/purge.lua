-- Discard what waits in a queue, a slice at a time so that nobody else waits long.
-- ARGV: queue, how many at most. Answers how many were discarded.

local queue, limit = take(), take_number()
local purged = 0

local function discard(ids)
  for _, id in ipairs(ids or {}) do
    forget(id)
  end
  purged = purged + #(ids or {})
end

discard(call('LPOP', READY .. queue, limit))
if purged < limit then
  discard(call('LPOP', SUSPECTS .. queue, limit - purged))
end
if purged < limit then
  local ids = call('ZRANGE', SCHEDULED .. queue, 0, limit - purged - 1)
  if #ids > 0 then
    call('ZREM', SCHEDULED .. queue, unpack(ids))
    discard(ids)
  end
end
if purged > 0 then
  count(queue, 'discarded', purged)
end
write_counts()
return purged
