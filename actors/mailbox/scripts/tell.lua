-- Keep what a worker says it is at, in place of what it said before.
-- ARGV: owner, what it says or '' for nothing, how long it is kept.

local owner, says, lasting = take(), take(), take_number()
if says == '' then
  call('DEL', RUNNING .. owner)
else
  call('SET', RUNNING .. owner, NOW_DIGITS .. says, 'PX', lasting)
end
