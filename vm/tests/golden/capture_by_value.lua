local n, name = 1, "x"
local function add(x) return x + n end
return function() return add(#name) end
