local a, b, c = ...
local x = a + b * c - 2 ^ a / (b % 3)
local y = -a .. #b .. 1 + 2
local z = 2 * a + 1 - (3 - a)
local w = a < b == (b < c)
return 1 + 2 * 3, 2 ^ 10, 7 % 4, -(1), 1 / 0, 0 / 0, "a" .. "b"
