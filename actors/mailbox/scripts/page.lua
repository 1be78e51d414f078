-- Some of the records of one kind in a queue, in the order in which their deliveries ended.
-- ARGV: queue, kind, `newest` or `oldest` first, the earliest and the latest moment, when the last one that was looked
-- at ended and its name, or '' to begin, actor or '' for any, how many to look at, '1' for bodies too.
-- Answers when the last one that was looked at ended and its name, or '' when there are no more, then the name and the
-- fields of each.

local queue, kind, newest_first = take(), take(), take() == 'newest'
local earliest, latest = take(), take()
local from_at, from_name = take(), take()
local actor, limit, with_bodies = take(), take_number(), take() == '1'

local function slice(offset)
  local key = ENDED_IN .. kind .. ':' .. queue
  if newest_first then
    local from = from_at ~= '' and from_at or latest
    return call('ZREVRANGEBYSCORE', key, from, earliest, 'WITHSCORES', 'LIMIT', offset, limit)
  end
  local from = from_at ~= '' and from_at or earliest
  return call('ZRANGEBYSCORE', key, from, latest, 'WITHSCORES', 'LIMIT', offset, limit)
end

-- What ended in one moment is in the order of its names, so a page may end among them.
local function is_past(name, at)
  if from_at == '' or tonumber(at) ~= tonumber(from_at) then
    return true
  end
  if newest_first then
    return name < from_name
  end
  return name > from_name
end

local function next_names()
  local names, last, offset, more = {}, {'', ''}, 0, true
  while more and #names == 0 do
    local found = slice(offset)
    for position = 1, #found, 2 do
      local name, at = found[position], found[position + 1]
      if is_past(name, at) then
        names[#names + 1] = name
        last = {at, name}
      end
    end
    more = #found == 2 * limit
    offset = offset + limit
  end
  return names, more and last or {'', ''}
end

local names, last = next_names()
local answer = {last[1], last[2]}
for _, name in ipairs(names) do
  if actor == '' or sub(name, 1, #actor + 1) == actor .. ':' then
    put_record(answer, name, not with_bodies)
  end
end
return answer
