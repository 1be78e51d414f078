-- Remember a key as done. ARGV: fence, window, how long a repeated commit is answered.
-- Answers 1 (done, now or before) or 0 when the key is not held.

local fence, window, answered = ARGV[1], ARGV[2], ARGV[3]
local live = call('HMGET', LIVE, 'fence', 'until', 'print', 'ended')
if live[1] == fence and live[2] then
  call('SET', DONE, fence .. ':' .. live[3], 'PX', window)
  call('DEL', LIVE)
  if tonumber(window) < tonumber(answered) then
    call('HSET', LIVE, 'ended', 'done ' .. fence)
    call('PEXPIRE', LIVE, answered)
  end
  return 1
end
local mark = fence .. ':'
local is_again = string.sub(call('GET', DONE) or '', 1, #mark) == mark or live[4] == 'done ' .. fence
return is_again and 1 or 0
