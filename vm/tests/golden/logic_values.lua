local a, b, c = ...
local x = a and b
local y = a or b or c
local z = a and b or c
local w = a < b and c
local v = a == 1 or b == 2
local u = (a or b) and c
local s = not a
local r = not (a and b)
x = x or {}
x = y or x
y = y and f(x) or y.z
