local total = 0
for round = 1, 40 do
  local t = {}
  for i = 1, 200000 do t[i] = i end
  local s = 0
  for i = 1, #t do s = s + t[i] end
  total = total + s
end
assert(total == 40 * 200000 * 200001 / 2)
