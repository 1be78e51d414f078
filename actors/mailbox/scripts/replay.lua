-- Make dead letters live again, each if nothing of its id lives or was completed within its window.
-- ARGV: the run, number of letters, each: the record's name, queue, id, window, ordered lane or '' for the one it had.
-- Answers a word for each.

local run = take()
local answers = {}

local function replay(name, target)
  local letter, answer = take_letter(name, run, 'replayed')
  if not letter then
    return answer
  end
  local fingerprint = sub(letter.header, 1, 16)
  local verdict = verdict_on(target, {fingerprint = fingerprint})
  if verdict ~= ACCEPTED then
    return verdict == DUPLICATE and 'duplicate' or 'conflict'
  end
  if target.lane == '' and sub(name, 1, #target.id + 1) == target.id .. '#' then
    target.lane = letter.lane
  end
  local body = call('HGET', ENDED .. name, 'body')
  -- Its age begins anew, or it would be too old at once.
  accept(target, fingerprint .. now_digits .. now_digits .. body, nil, 'replayed')
  mend(name, letter.queue, run, 'replayed', 'replayed', digits(NOW))
  return 'done'
end

for position = 1, take_number() do
  local name = take()
  answers[position] = replay(name, {queue = take(), id = take(), window = take_number(), lane = take()})
end
write_arrivals()
write_counts()
return answers
