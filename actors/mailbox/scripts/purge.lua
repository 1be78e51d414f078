-- Discard what waits in a queue, a slice at a time so that nobody else waits long.
-- ARGV: queue, how many at most. Answers how many were discarded.

local queue, limit = take(), take_number()
local purged = 0

local function discard(ids)
  if #ids > 0 then
    forget(queue, ids)
    drop_items(ids)
    purged = purged + #ids
  end
  return #ids
end

local function discard_list(key)
  if purged < limit then
    return discard(call('LPOP', key, limit - purged) or {})
  end
  return 0
end

local function discard_scheduled()
  local ids = purged < limit and call('ZRANGE', SCHEDULED .. queue, 0, limit - purged - 1) or {}
  if #ids > 0 then
    call('ZREM', SCHEDULED .. queue, unpack(ids))
    discard(ids)
  end
end

local function discard_in_lanes()
  local waiting = tonumber(call('HGET', COUNTS .. queue, 'waiting') or 0)
  local before, cursor = purged, '0'
  for actor in pairs(waiting > 0 and limits_of(queue) or {}) do
    discard_list(lane_key(LINE, queue, actor))
  end
  while purged < limit and purged - before < waiting do
    local found = call('HSCAN', HOLDER .. queue, cursor, 'COUNT', 1000)
    for position = 1, #found[2], 2 do
      discard_list(lane_key(LANE, queue, found[2][position]))
    end
    cursor = found[1]
    if cursor == '0' then
      break
    end
  end
  count(queue, 'waiting', before - purged)
end

-- Lanes first, so that what is discarded next gives its place to none that waits.
discard_in_lanes()
discard_list(READY .. queue)
discard_list(SUSPECTS .. queue)
discard_list(LONE .. queue)
discard_scheduled()
if purged > 0 then
  count(queue, 'discarded', purged)
end
write_counts()
return purged
