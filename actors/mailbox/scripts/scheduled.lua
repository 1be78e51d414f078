-- What is due later in a queue, the soonest first, a page at a time.
-- ARGV: queue, how many at most, the id that the page before ended with or '', when that is due.
-- Answers id, when it is due, history of each. If the last one is gone, the page begins with all that were due with it.

local queue, limit, last, due = take(), take_number(), take(), take()
local scheduled, first = SCHEDULED .. queue, 0
if last ~= '' then
  local score = call('ZSCORE', scheduled, last)
  if score and tonumber(score) == tonumber(due) then
    first = call('ZRANK', scheduled, last) + 1
  else
    first = call('ZCOUNT', scheduled, '-inf', '(' .. due)
  end
end
local found = call('ZRANGE', scheduled, first, first + limit - 1, 'WITHSCORES')
local ids, answer = {}, {}
for position = 1, #found, 2 do
  ids[#ids + 1] = found[position]
end
local histories = #ids > 0 and call('HMGET', HISTORY, unpack(ids)) or {}
for position, id in ipairs(ids) do
  answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = id, found[2 * position], histories[position]
end
return answer
