-- By what else a delivery is found than by its id: an event whose id is not the key, and the records of what ended.
-- Needs done.lua. They live in buckets as completions do, of the first of these lengths that is long enough.

local DAY = 86400000
local LASTS = {DAY, 7 * DAY, 30 * DAY, 90 * DAY, 366 * DAY, 3660 * DAY}

local aliases_of = {}

local function alias_buckets(last)
  aliases_of[last] = aliases_of[last] or three_buckets(ALIASES, last)
  return aliases_of[last]
end

local function length_lasting(ms)
  for _, last in ipairs(LASTS) do
    if ms <= last then
      return last
    end
  end
  return LASTS[#LASTS]
end

local function buckets_lasting(ms)
  return alias_buckets(length_lasting(ms))
end

local function is_key_of(event_id, id)
  return sub(id, -#event_id - 1) == ':' .. event_id
end
