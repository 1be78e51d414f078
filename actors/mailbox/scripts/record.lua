-- One record by its name.
-- ARGV: its name. Answers its name and its fields, or nothing.

local answer = {}
put_record(answer, take())
return answer
