-- The records of what ended in a queue, the latest first.
-- ARGV: queue, how many at most. Answers the name and all that is kept of each.

local queue, limit = take(), take_number()
local answer = {}
for _, name in ipairs(call('ZREVRANGE', ENDED_IN .. queue, 0, limit - 1)) do
  local kept = call('HGETALL', ENDED .. name)
  if #kept > 0 then
    answer[#answer + 1], answer[#answer + 2] = name, kept
  end
end
return answer
