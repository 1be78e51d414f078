-- A worker process is there, or leaves.
-- ARGV: owner, '1' if it leaves, how long a worker counts as there, its version, then the queues it takes from.

local owner, leaving, lasting, version = take(), take() == '1', take_number(), take()

local function note(key)
  if leaving then
    call('ZREM', key, owner)
  else
    call('ZADD', key, NOW, owner)
  end
  call('ZREMRANGEBYSCORE', key, '-inf', NOW - lasting)
end

-- Workers that tell none share the set, and forget those that are lost: so what is there too much is looked for here.
local function note_version()
  if leaving or version == '' then
    call('HDEL', RELEASES, owner)
  else
    call('HSET', RELEASES, owner, version)
  end
  if call('HLEN', RELEASES) > call('ZCARD', WORKERS) then
    for _, other in ipairs(call('HKEYS', RELEASES)) do
      if not call('ZSCORE', WORKERS, other) then
        call('HDEL', RELEASES, other)
      end
    end
  end
end

note(WORKERS)
note_version()
for position = cursor + 1, #ARGV do
  note(CONSUMERS .. ARGV[position])
end
