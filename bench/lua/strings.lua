local n = 0
for i = 1, 3000000 do
  local s = "key" .. i
  n = n + #s
end
assert(n > 0)
