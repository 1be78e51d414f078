-- Extend leases from now on, each if its fence still holds.
-- ARGV: lease, number of groups, each: queue, n, then id and token of each.
-- Answers 1 (extended) or 0 (no longer held) for each, in that order.

local lease = take_number()
local answers = {}
for _ = 1, take_number() do
  local queue = take()
  for _ = 1, take_number() do
    local id, token = take(), take()
    local held = call('HGET', FENCES, id) == token
    if held then
      call('ZADD', LEASED .. queue, 'XX', NOW + lease, id)
    end
    answers[#answers + 1] = held and 1 or 0
  end
end
return answers
