-- Write what became of items, each delivery's if its fence still holds.
-- ARGV: number of deliveries, each: id, token, n, then field and value of n items.
-- Answers 1 (written) or 0 (no longer held) for each, in that order.

-- From now on whoever gets the delivery, and whatever ends it, knows by its history that there are items.
local function mark_history(id)
  local history = cjson.decode(call('HGET', HISTORY, id) or '{}')
  if not history.items then
    history.items = true
    call('HSET', HISTORY, id, cjson.encode(history))
  end
end

local answers = {}
for position = 1, take_number() do
  local id, token, n = take(), take(), take_number()
  local held = call('HGET', FENCES, id) == token
  if held then
    if call('EXISTS', ITEMS .. id) == 0 then
      mark_history(id)
    end
    call('HSET', ITEMS .. id, unpack(ARGV, cursor + 1, cursor + 2 * n))
  end
  cursor = cursor + 2 * n
  answers[position] = held and 1 or 0
end
return answers
