-- Hand out of a queue again.
-- ARGV: queue. Answers when, by whom and why it was paused, or three times nothing.

local queue = take()
local held = call('HMGET', PAUSED .. queue, 'at', 'by', 'reason')
if call('DEL', PAUSED .. queue) == 1 then
  wake(queue)
end
return held
