local p = { x = 0, y = 0, z = 1 }
for i = 1, 20000000 do
  p.x = p.x + p.z
  p.y = p.x - p.y
end
assert(p.x == 20000000)
