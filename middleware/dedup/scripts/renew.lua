-- Let a lease run on from now. ARGV: fence, lease. Answers 1, or 0 when the key is not held.

local live = call('HMGET', LIVE, 'fence', 'until')
if live[1] ~= ARGV[1] or not live[2] then
  return 0
end
call('HSET', LIVE, 'until', digits(now() + tonumber(ARGV[2])))
return 1
