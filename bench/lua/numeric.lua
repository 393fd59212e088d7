local s, x = 0, 0.5
for i = 1, 40000000 do
  x = x * 0.999 + 1 / i
  s = s + x
end
assert(s > 0)
