-- Ask for a key. ARGV: fingerprint, owner, lease, takeovers allowed, how long to remember the key,
-- '1' if it counts as a takeover when this owner is lost.
-- Answers: verdict, fence, takeovers, ms until another's lease ends.

local print, owner, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local allowed, remembered, charged = tonumber(ARGV[4]), ARGV[5], ARGV[6] == '1'

local done = call('GET', DONE)
if done then
  local same = string.sub(done, string.find(done, ':', 1, true) + 1) == print
  return {same and 'done' or 'conflict', 0, 0, 0}
end

local NOW = now()
local live = call('HMGET', LIVE, 'fence', 'owner', 'until', 'print', 'lost', 'beside')
local fence, holder, lease_ends, lost = live[1], live[2], tonumber(live[3] or nil), tonumber(live[5] or 0)
if fence and live[4] ~= print then
  return {'conflict', 0, lost, 0}
end
local is_again = lease_ends and holder == owner
if lease_ends and not is_again then
  if NOW < lease_ends then
    return {'in_progress', 0, lost, lease_ends - NOW}
  end
  local counts = live[6] ~= '1'
  if counts and lost >= allowed then
    return {'poison', tonumber(fence), lost, 0}
  end
  lost = lost + (counts and 1 or 0)
end
if not is_again then
  fence = call('INCR', FENCE)
  call('HDEL', LIVE, 'beside')
  if not charged then
    call('HSET', LIVE, 'beside', '1')
  end
end
call('HSET', LIVE, 'fence', fence, 'owner', owner, 'until', digits(NOW + lease), 'print', print, 'lost', lost)
call('PEXPIRE', LIVE, remembered)
return {'fresh', tonumber(fence), lost, 0}
