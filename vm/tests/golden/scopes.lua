local a = 1
do
  local a = 2
  local b = a
end
local c = a
if c then local d = c else local e = a end
local f
