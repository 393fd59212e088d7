local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
local s = 0
for _ = 1, 3 do s = s + fib(30) end
assert(s == 2496120)
