local a = 1
local function f(b)
  local c = 2
  return function(d)
    local function g() return a + b + c + d end
    return g
  end
end
