local function range(n)
  return function(limit, i) if i < limit then return i + 1 end end, n, 0
end
local function filter(keep, f, s, v)
  return function()
    repeat v = f(s, v) until v == nil or keep(v)
    return v
  end
end
local sum = 0
for round = 1, 30 do
  for i in filter(function(v) return v % 3 == 0 end, range(100000)) do sum = sum + i end
end
assert(sum == 30 * 3 * 33333 * 33334 / 2)
