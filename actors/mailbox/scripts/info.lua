-- The state of all queues at one moment.
-- ARGV: how lately a worker was seen in ms, how many lanes and holders are listed.
-- Answers: time, unrouted events, workers, then for each queue: name, what it holds, what it did, its lanes, its pause.

local seen_within, listed = take_number(), take_number()

-- Of this many held lanes the fullest are found.
local LANES_LOOKED_AT = 1000

local function limited_lanes(queue, lanes)
  for actor, limit in pairs(limits_of(queue)) do
    local held = call('HKEYS', lane_key(HELD, queue, actor))
    lanes[#lanes + 1] = {actor, 0, limit == math.huge and -1 or limit,
      call('LLEN', lane_key(LINE, queue, actor)), #held, held}
  end
end

local function ordered_lanes(queue, lanes)
  local held = call('HSCAN', HOLDER .. queue, '0', 'COUNT', LANES_LOOKED_AT)[2]
  for position = 1, #held, 2 do
    local lane = held[position]
    if lane ~= WIDE_FIELD then
      lanes[#lanes + 1] = {lane, 1, 1, call('LLEN', lane_key(LANE, queue, lane)), 1, {held[position + 1]}}
    end
  end
end

local function fuller(one, other)
  if one[4] == other[4] then
    return one[1] < other[1]
  end
  return one[4] > other[4]
end

-- Whoever fetched a delivery last has it, as long as it is leased.
local function name_owners(queue, lane)
  local ids, holders = lane[6], {}
  table.sort(ids)
  for position = 1, math.min(#ids, listed) do
    local id = ids[position]
    local owner = lane[2] == 1 and call('HGET', OWNER .. queue, lane[1])
      or lane[2] == 0 and call('HGET', lane_key(HELD, queue, lane[1]), id)
    holders[position] = {id, call('ZSCORE', LEASED .. queue, id) and owner or ''}
  end
  lane[6] = holders
end

local function fullest_lanes(queue)
  local lanes = {}
  if has_lanes(queue) then
    limited_lanes(queue, lanes)
    ordered_lanes(queue, lanes)
    table.sort(lanes, fuller)
    lanes = {unpack(lanes, 1, math.min(#lanes, listed))}
    for _, lane in ipairs(lanes) do
      name_owners(queue, lane)
    end
  end
  return lanes
end

-- What has lapsed stays listed until the next one ends.
local function dead_letters(queue)
  local dead_in, dead_until = ENDED_IN .. 'dead:' .. queue, ENDED_UNTIL .. 'dead:' .. queue
  local following = call('ZRANGEBYSCORE', dead_until, '(' .. NOW_DIGITS, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if #following == 0 then
    return {0, 0, 0, 0}
  end
  local count = call('ZCOUNT', dead_until, '(' .. NOW_DIGITS, '+inf')
  local next_at = call('ZSCORE', dead_in, following[1])
  local oldest = call('ZRANGE', dead_in, 0, 0, 'WITHSCORES')
  local has_lapsed = tonumber(call('ZSCORE', dead_until, oldest[1])) <= NOW
  return {count, has_lapsed and next_at or oldest[2], following[2], next_at}
end

local function workers()
  local seen, answer = call('ZRANGEBYSCORE', WORKERS, NOW - seen_within, '+inf', 'WITHSCORES'), {}
  for position = 1, #seen, 2 do
    local owner = seen[position]
    answer[#answer + 1] = {owner, tonumber(seen[position + 1]), call('HGET', RELEASES, owner) or ''}
  end
  return answer
end

local answer = {NOW, call('HGETALL', UNROUTED), workers()}
local queues = call('SMEMBERS', QUEUES)
table.sort(queues)
for _, queue in ipairs(queues) do
  answer[#answer + 1] = {queue,
    call('LLEN', READY .. queue), call('ZCARD', LEASED .. queue),
    call('ZCARD', SCHEDULED .. queue), call('LLEN', SUSPECTS .. queue) + call('LLEN', LONE .. queue),
    call('HGETALL', COUNTS .. queue), fullest_lanes(queue), call('HMGET', PAUSED .. queue, 'at', 'by', 'reason'),
    dead_letters(queue)}
end
return answer
