local format, n = string.format, 0
for i = 1, 500000 do
  n = n + #format("%d %s %5.2f %x", i, "name", i / 3, i)
end
assert(n > 500000 * 15)
