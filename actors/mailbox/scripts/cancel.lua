-- End deliveries that have not begun, as discarded with the reason `cancelled`.
-- ARGV: how long and how many records are kept, detail, how many, each: id, queue it was found in.
-- Answers a letter for each: `t` (taken out and ended), `l` (leased, so left as it is) or `g` (gone).

local default_retention, most_records, detail = take_number(), take_number(), take()

-- A fence of its own names the record, for the same identity may be cancelled again.
local letters = take_out_each(take_number(), function(queue, id)
  end_delivery(queue, id, digits(call('INCR', FENCE)), {kind = 'discarded', reason = 'cancelled', detail = detail,
    history = call('HGET', HISTORY, id) or '{}', facts = '', retention = retention_of(id, default_retention),
    waits = true})
end)
make_room(most_records)
write_counts()
return letters
