local function fact(n) return n < 2 and 1 or n * fact(n - 1) end
local function reassigned() return reassigned end
reassigned = nil
local function outer() return function() return outer() end end
