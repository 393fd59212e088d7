local parts = {}
for round = 1, 30 do
  for i = 1, 50000 do parts[i] = "item " .. i % 1000 .. "," end
  local s = table.concat(parts)
  assert(#s > 400000)
end
local s = ""
for i = 1, 10000 do s = s .. "x" end
assert(#s == 10000)
