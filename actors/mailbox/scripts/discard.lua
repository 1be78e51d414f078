-- Let dead letters be discarded by the operator.
-- ARGV: the run, then the name of each. Answers a word for each.

local run = take()
local answers = {}

local function discard(name)
  local letter, answer = take_letter(name, run, 'discarded')
  if not letter then
    return answer
  end
  mend(name, letter.queue, run, 'discarded', 'kind', 'discarded', 'reason', 'operator', 'was', letter.reason,
    'at', NOW_DIGITS)
  list_record(name, 'discarded', letter.queue, letter.forget_at)
  count(letter.queue, 'dead', -1)
  count(letter.queue, 'discarded', 1)
  return 'done'
end

for position = 2, #ARGV do
  answers[position - 1] = discard(ARGV[position])
end
let_lists_end()
write_counts()
return answers
