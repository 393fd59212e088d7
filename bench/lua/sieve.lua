local count
for round = 1, 10 do
  local flags, n = {}, 500000
  for i = 2, n do flags[i] = true end
  count = 0
  for i = 2, n do
    if flags[i] then
      count = count + 1
      for k = i + i, n, i do flags[k] = false end
    end
  end
end
assert(count == 41538)
