-- Let a key go. ARGV: fence or 0, owner, '1' to forget it, how long to remember it,
-- how long a repeated release is answered. Answers 1 (let go, now or before) or 0 when another has held it since.

local fence, owner, forget, remembered, answered = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4], ARGV[5]
local live = call('HMGET', LIVE, 'fence', 'owner', 'ended')
local is_latest = live[1] == fence
if fence == '0' then
  is_latest = live[2] == owner
end
if not is_latest then
  return forget and live[3] == 'forgotten ' .. fence and 1 or 0
end
if forget then
  call('DEL', LIVE)
  call('HSET', LIVE, 'ended', 'forgotten ' .. live[1])
  call('PEXPIRE', LIVE, answered)
else
  call('HDEL', LIVE, 'until')
  call('PEXPIRE', LIVE, remembered)
end
return 1
