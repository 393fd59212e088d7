local words = {}
for i = 1, 2000 do words[i] = "word" .. (i * 7919 % 1000) end
local counts = {}
for round = 1, 1500 do
  for i = 1, #words do
    local w = words[i]
    counts[w] = (counts[w] or 0) + 1
  end
end
local n = 0
for _, c in pairs(counts) do n = n + c end
assert(n == 3000000)
