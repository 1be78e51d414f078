-- Store each posting for all of its targets or for none.
-- ARGV: the publisher's version of the routes or '', number of postings, postings.
-- Answers the letters of its verdicts for each posting, or -1 when the routes have changed.

local known = take()
if known ~= '' and known ~= (call('GET', VERSION) or '0') then
  return -1
end
local answers = {}
for position = 1, take_number() do
  answers[position] = publish(take_posting())
end
write_arrivals()
write_related()
write_counts()
return answers
