-- A worker process is there, or leaves.
-- ARGV: owner, '1' if it leaves, how long a worker counts as there, then the queues it takes from.

local owner, leaving, lasting = take(), take() == '1', take_number()

local function note(key)
  if leaving then
    call('ZREM', key, owner)
  else
    call('ZADD', key, NOW, owner)
  end
  call('ZREMRANGEBYSCORE', key, '-inf', NOW - lasting)
end

note(WORKERS)
for position = cursor + 1, #ARGV do
  note(CONSUMERS .. ARGV[position])
end
