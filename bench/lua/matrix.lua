local n = 150
local function matrix(f)
  local m = {}
  for i = 1, n do
    local row = {}
    for j = 1, n do row[j] = f(i, j) end
    m[i] = row
  end
  return m
end
local function mul(a, b)
  return matrix(function(i, j)
    local s, row = 0, a[i]
    for k = 1, n do s = s + row[k] * b[k][j] end
    return s
  end)
end
local a = matrix(function(i, j) return (i + j) % 7 end)
local id = matrix(function(i, j) return i == j and 1 or 0 end)
local b = a
for _ = 1, 6 do b = mul(b, id) end
assert(b[3][4] == a[3][4])
