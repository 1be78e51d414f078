-- A page of what became of the items of a delivery.
-- ARGV: `live` or `ended`, the delivery's id or its record's, cursor, how many about.
-- Answers: the next cursor, `0` at the end, field and value of each, and how often the delivery was replayed with them.

local place, name, at, about = take(), take(), take(), take()
local is_live = place == 'live'
local history = is_live and call('HGET', HISTORY, name) or not is_live and call('HGET', ENDED .. name, 'history')
local page = call('HSCAN', (is_live and ITEMS or ENDED_ITEMS) .. name, at, 'COUNT', about)
return {page[1], page[2], cjson.decode(history or '{}').replays or 0}
