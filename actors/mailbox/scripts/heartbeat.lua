-- A worker process is there, or leaves.
-- ARGV: owner, '1' if it leaves, how long a worker counts as there.

local owner, leaving, lasting = take(), take() == '1', take_number()
if leaving then
  call('ZREM', WORKERS, owner)
else
  call('ZADD', WORKERS, NOW, owner)
end
call('ZREMRANGEBYSCORE', WORKERS, '-inf', NOW - lasting)
