-- Make dead letters live again, each if nothing of its id lives or was completed within its window.
-- ARGV: the run, number of letters, each: the record's name, queue, id, window, ordered lane or '' for the one it had.
-- Answers a word for each.

local run = take()
local answers = {}

local function delivery_of(name)
  return name:match('^(.*)#')
end

-- One step, however many there are: which of them were given up before is told by the count.
local function take_items_along(name, id)
  if call('EXISTS', ENDED_ITEMS .. name) == 1 then
    local replays = cjson.decode(call('HGET', ENDED .. name, 'history')).replays or 0
    call('RENAME', ENDED_ITEMS .. name, ITEMS .. id)
    call('PERSIST', ITEMS .. id)
    call('HSET', HISTORY, id, cjson.encode({items = true, replays = replays + 1}))
  end
end

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
  if delivery_of(name) == target.id then
    target.lane = target.lane == '' and letter.lane or target.lane
    take_items_along(name, target.id)
  end
  local body = call('HGET', ENDED .. name, 'body')
  -- Its age begins anew, or it would be too old at once.
  accept(target, fingerprint .. NOW_DIGITS .. NOW_DIGITS .. body, nil, 'replayed')
  mend(name, letter.queue, run, 'replayed', 'replayed', NOW_DIGITS)
  return 'done'
end

for position = 1, take_number() do
  local name = take()
  answers[position] = replay(name, {queue = take(), id = take(), window = take_number(), lane = take()})
end
write_arrivals()
write_counts()
return answers
