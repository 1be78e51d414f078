-- Which commands the user may run on the keys of a workspace; nothing is run. ARGV: the root of the workspace, one
-- of its keys, then commands. Answers those that he may not run.
-- It is called without keys, for which keys a user may name is part of the question.

local root, key = ARGV[1], ARGV[2]

-- Only whole commands are asked for: with too few words of one whose keys are found by reading it (EVAL, SET)
-- the question ends Redis 7.0 and Valkey 9 with a fault of memory.
local words = {
  EVAL = {'return 1', '1', root},
  EVALSHA = {('0'):rep(40), '1', root},
  INFO = {'server'},
  SET = {key, '1'},
  TIME = {},
}

local refused = {}
for position = 3, #ARGV do
  local command = ARGV[position]
  if not redis.acl_check_cmd(command, unpack(words[command] or {key, key, key})) then
    refused[#refused + 1] = command
  end
end
return refused
