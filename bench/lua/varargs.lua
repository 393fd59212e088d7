local unpack = table.unpack or unpack
local function sum(...)
  local s = 0
  for i = 1, select("#", ...) do s = s + (select(i, ...)) end
  return s
end
local function bind(f, ...)
  local bound = { ... }
  return function(...) return f(unpack(bound), ...) end
end
local total = 0
for i = 1, 500000 do
  total = total + sum(i, 1, 2, 3) + bind(sum, i)(4)
end
assert(total == 500000 * 500001 + 500000 * 6 + 500000 * 4)
