-- Which event came of which. Needs aliases.lua. An entry is found by its correlation id, and that by the event's own;
-- both choose their hash by the time they tell, so what is written together goes into few of them.

local CORRELATED, OF_CAUSE = 10, -12

local related, related_of = {}, {}

local function related_buckets(last)
  related_of[last] = related_of[last] or three_buckets(RELATED, last)
  return related_of[last]
end

local function relate(known, shard, field, value)
  local key = known[1] .. shard
  local fields = related[key] or {expire_at = known.expire_at}
  fields[#fields + 1], fields[#fields + 2] = field, value
  related[key] = fields
end

-- `came_of` is as in a posting: event, correlation, cause, cause_name.
local function put_related(came_of, name, lasting)
  local known = related_buckets(length_lasting(lasting))
  local shard, digest = place_of(came_of.correlation)
  local prefix = sub(digest, 1, CORRELATED)
  relate(known, shard, prefix .. came_of.event, sub(came_of.cause, OF_CAUSE) .. ' ' .. name)
  if came_of.cause == came_of.correlation and came_of.cause_name ~= '' then
    relate(known, shard, prefix .. came_of.cause, ' ' .. came_of.cause_name)
  end
  shard, digest = place_of(came_of.event)
  relate(known, shard, '@' .. digest, came_of.correlation)
end

-- What is told of a delivery for its record tells this, too: it is then kept as long as the record.
local function put_related_of(facts, lasting)
  local told = facts ~= '' and cjson.decode(facts)
  if told and told.correlation and told.event then
    put_related({event = told.event, correlation = told.correlation, cause = told.causation or '', cause_name = ''},
      told.contract or '', lasting)
  end
end

local function write_related()
  for key, fields in pairs(related) do
    local is_new = call('EXISTS', key) == 0
    for first = 1, #fields, 4000 do
      call('HSET', key, unpack(fields, first, math.min(first + 3999, #fields)))
    end
    if is_new then
      call('PEXPIREAT', key, fields.expire_at)
    end
  end
end
