-- A page of what became of the items of a delivery.
-- ARGV: `live` or `ended`, the delivery's id or its record's, cursor, how many about.
-- Answers: the next cursor, `0` at the end, and field and value of each.

local place, name, at, about = take(), take(), take(), take()
return call('HSCAN', (place == 'live' and ITEMS or ENDED_ITEMS) .. name, at, 'COUNT', about)
