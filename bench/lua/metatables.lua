local vector = {}
vector.__index = function(t, k) return vector[k] end
vector.__add = function(a, b) return setmetatable({ x = a.x + b.x, y = a.y + b.y }, vector) end
vector.__eq = function(a, b) return a.x == b.x and a.y == b.y end
vector.__len = function() return 2 end
function vector.dot(a, b) return a.x * b.x + a.y * b.y end
local one, sum = setmetatable({ x = 1, y = 2 }, vector), setmetatable({ x = 0, y = 0 }, vector)
local dots = 0
for i = 1, 1500000 do
  sum = sum + one
  dots = dots + one:dot(one)
end
assert(sum.x == 1500000 and dots == 7500000 and sum ~= one)
