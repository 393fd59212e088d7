local seed = 42
local function random() seed = (seed * 16807) % 2147483647 return seed end
local list, n = {}, 100000
for round = 1, 3 do
  for i = 1, n do list[i] = random() end
  table.sort(list)
  for i = 1, n do list[i] = random() end
  table.sort(list, function(a, b) return a > b end)
end
for i = 2, n do assert(list[i - 1] >= list[i]) end
