-- The events of a correlation id, or of that of an event.
-- ARGV: the id, how many at most, how many entries are looked at.
-- Answers the correlation id, 1 if these are all, then id, cause and name of each.

local wanted, most, most_scanned = take(), take_number(), take_number()

local function in_all_buckets(visit)
  for _, last in ipairs(LASTS) do
    local known = related_buckets(last)
    for back = 1, 3 do
      visit(known[back])
    end
  end
end

local function correlation_of(event)
  local shard, digest = place_of(event)
  local found
  in_all_buckets(function(bucket)
    found = found or call('HGET', bucket .. shard, '@' .. digest)
  end)
  return found or event
end

local correlation = correlation_of(wanted)
local shard, digest = place_of(correlation)
local prefix = sub(digest, 1, CORRELATED)
local answer, seen, scanned, is_whole = {correlation, 1}, {}, 0, true

local function add(field, value)
  local event = sub(field, CORRELATED + 1)
  if not seen[event] then
    seen[event] = true
    answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = event, value:match('^(%S*) (.*)$')
  end
end

in_all_buckets(function(bucket)
  local cursor = '0'
  repeat
    if #answer >= 2 + 3 * most or scanned >= most_scanned then
      is_whole = false
      return
    end
    local page = call('HSCAN', bucket .. shard, cursor, 'MATCH', prefix .. '*', 'COUNT', 1000)
    cursor, scanned = page[1], scanned + (page[1] == '0' and #page[2] / 2 or 1000)
    for position = 1, #page[2], 2 do
      add(page[2][position], page[2][position + 1])
    end
  until cursor == '0'
end)
answer[2] = is_whole and 1 or 0
return answer
