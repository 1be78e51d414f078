-- What is kept of a delivery that has ended, as it is read.

local FIELDS = {'kind', 'reason', 'detail', 'queue', 'at', 'until', 'history', 'facts', 'lane', 'was', 'replayed',
  'header', 'body'}
local BUT_BODY = #FIELDS - 1
local FACTS = 8

local function put_record(records, name, without_body)
  local fields = call('HMGET', ENDED .. name, unpack(FIELDS, 1, without_body and BUT_BODY or nil))
  if fields[1] then
    records[#records + 1], records[#records + 2] = name, fields
  end
end

-- What a worker told that could read it says which contract it is; of all else the body alone does.
local function put_body_if_untold(name, fields)
  if not fields[FACTS]:find('"contract":', 1, true) then
    fields[#fields + 1] = call('HGET', ENDED .. name, 'body')
  end
end
