-- What becomes of a dead letter once: who mended it is written in its record, so that a call that is made again is known.

-- The record's kind, queue and so on if it may be mended, or else nothing and the answer.
local function take_letter(name, run, mended)
  local record = call('HMGET', ENDED .. name, 'kind', 'queue', 'reason', 'until', 'header', 'lane', 'mended')
  if not record[1] then
    return nil, 'gone'
  end
  if record[7] then
    return nil, record[7] == mended .. ':' .. run and 'done' or 'already'
  end
  if record[1] ~= 'dead' then
    return nil, 'gone'
  end
  return {kind = record[1], queue = record[2], reason = record[3], forget_at = record[4], header = record[5],
    lane = record[6]}
end

local function mend(name, queue, run, mended, ...)
  call('HSET', ENDED .. name, 'mended', mended .. ':' .. run, ...)
  call('ZREM', ENDED_IN .. 'dead:' .. queue, name)
  call('ZREM', ENDED_UNTIL .. 'dead:' .. queue, name)
end
