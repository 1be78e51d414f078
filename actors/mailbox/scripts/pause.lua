-- Hand out nothing of a queue until it is resumed; one that is paused already stays so as it was.
-- ARGV: queue, by whom, why. Answers when, by whom and why it was paused.

local queue, by, reason = take(), take(), take()
local paused = PAUSED .. queue
if call('EXISTS', paused) == 0 then
  call('HSET', paused, 'at', NOW_DIGITS, 'by', by, 'reason', reason)
  call('SADD', QUEUES, queue)
end
return call('HMGET', paused, 'at', 'by', 'reason')
