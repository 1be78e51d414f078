-- What metrics tell of all queues at one moment.
-- ARGV: how lately a worker was seen in ms.
-- Answers for each queue: name, ready, waiting, leased, scheduled, dead ones kept, ms that the oldest ready one has
-- been due, ms since the oldest dead one ended, workers, whether it is paused, how many were ever discarded and
-- replayed. And of the server: the bytes of memory that it takes, and its limit or 0; nothing if it does not tell.

local seen_within = take_number()

-- What comes back for another attempt was first due long ago: so many are looked at to find one that was never tried.
local MOST_LOOKED_AT = 32

-- Records whose time is over are forgotten with the next that is kept; so many are told from those that count.
local MOST_LAPSED = 1000

local function due_for(id)
  local stored = call('HGET', BODIES, id)
  return stored and math.max(0, NOW - tonumber(sub(stored, 30, 42))) or 0
end

local function oldest_in(key)
  for _, id in ipairs(call('LRANGE', key, 0, MOST_LOOKED_AT - 1)) do
    if call('HEXISTS', HISTORY, id) == 0 then
      return due_for(id)
    end
  end
  return 0
end

local function dead_in(queue)
  local key, gone, oldest = ENDED_IN .. 'dead:' .. queue, 0, 0
  local lapsed = {}
  for _, name in ipairs(call('ZRANGEBYSCORE', ENDED_UNTIL .. 'dead:' .. queue, '-inf', NOW, 'LIMIT', 0, MOST_LAPSED)) do
    lapsed[name] = true
    gone = gone + (call('ZSCORE', key, name) and 1 or 0)
  end
  local first = call('ZRANGE', key, 0, gone, 'WITHSCORES')
  for position = 1, #first, 2 do
    if not lapsed[first[position]] then
      return call('ZCARD', key) - gone, NOW - tonumber(first[position + 1])
    end
  end
  return 0, 0
end

local function memory()
  local told = redis.pcall('INFO', 'memory')
  if type(told) ~= 'string' then
    return {} -- this user may not ask
  end
  return {tonumber(string.match(told, 'used_memory:(%d+)')), tonumber(string.match(told, 'maxmemory:(%d+)'))}
end

local queues = call('SMEMBERS', QUEUES)
table.sort(queues)
local answer = {}
for _, queue in ipairs(queues) do
  local ready, suspects, lone = READY .. queue, SUSPECTS .. queue, LONE .. queue
  local dead, oldest_dead = dead_in(queue)
  local counts = call('HMGET', COUNTS .. queue, 'waiting', 'discarded', 'replayed')
  answer[#answer + 1] = {queue,
    call('LLEN', ready) + call('LLEN', suspects) + call('LLEN', lone),
    tonumber(counts[1] or 0),
    call('ZCARD', LEASED .. queue), call('ZCARD', SCHEDULED .. queue), dead,
    math.max(oldest_in(ready), oldest_in(suspects), oldest_in(lone)), oldest_dead,
    call('ZCOUNT', CONSUMERS .. queue, NOW - seen_within, '+inf'), call('EXISTS', PAUSED .. queue),
    tonumber(counts[2] or 0), tonumber(counts[3] or 0)}
end
return {answer, memory()}
