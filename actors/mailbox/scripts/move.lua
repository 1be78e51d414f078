-- Let deliveries that have not begun begin at another time.
-- ARGV: delay, due, how many, each: id, queue it was found in.
-- Answers a letter for each: `t` (taken out and scheduled), `l` (leased, so left as it is) or `g` (gone).

local delay, due = take_number(), take_number()
local due_at = delay > 0 and NOW + delay or math.max(NOW, due)

-- One that was not tried yet counts its age from when it is due, and its place in an ordered lane too.
local function due_anew(queue, id)
  local stored = call('HGET', BODIES, id)
  call('HSET', BODIES, id, sub(stored, 1, 29) .. format('%013.0f', due_at) .. sub(stored, 43))
  if has_lanes(queue) then
    local of_them, lanes = in_ordered_lanes(queue, {id})
    if #of_them > 0 then
      hand_on(queue, held_lanes(queue, of_them, lanes))
    end
  end
  local event_id = event_in(stored)
  if event_id and not is_key_of(event_id, id) then
    note_alias(event_id, id, due_at - NOW + DAY)
  end
end

local letters = take_out_each(take_number(), function(queue, id)
  if not cjson.decode(call('HGET', HISTORY, id) or '{}').attempts then
    due_anew(queue, id)
  end
  if has_lanes(queue) then
    leave_slots(queue, {id})
  end
  if due_at <= NOW then
    call('RPUSH', READY .. queue, id)
    wake(queue)
    return
  end
  call('ZADD', SCHEDULED .. queue, due_at, id)
  if call('ZRANGE', SCHEDULED .. queue, 0, 0)[1] == id then
    wake(queue)
  end
end)
write_counts()
return letters
