-- The state of all queues at one moment.
-- Answers: time, unrouted events, workers seen within ARGV[1] ms, then for each queue: name, what it holds, what it did.

local answer = {NOW, call('HGETALL', UNROUTED),
  call('ZRANGEBYSCORE', WORKERS, NOW - take_number(), '+inf', 'WITHSCORES')}
local queues = call('SMEMBERS', QUEUES)
table.sort(queues)
for _, queue in ipairs(queues) do
  answer[#answer + 1] = {queue,
    call('LLEN', READY .. queue), call('ZCARD', LEASED .. queue),
    call('ZCARD', SCHEDULED .. queue), call('LLEN', SUSPECTS .. queue),
    call('HGETALL', COUNTS .. queue)}
end
return answer
