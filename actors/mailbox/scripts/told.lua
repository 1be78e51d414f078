-- What the workers that are there said last.
-- Answers: time, then for each: owner, when it said it, what it said.

local owners, keys, answer = call('ZRANGE', WORKERS, 0, -1), {}, {NOW}
table.sort(owners)
for position, owner in ipairs(owners) do
  keys[position] = RUNNING .. owner
end
for position, says in ipairs(#keys > 0 and call('MGET', unpack(keys)) or {}) do
  if says then
    answer[#answer + 1] = {owners[position], sub(says, 1, 13), sub(says, 14)}
  end
end
return answer
