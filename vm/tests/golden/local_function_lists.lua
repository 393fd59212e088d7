local a
local b, c, d = 1
local e, f = ...
local g, h = (...), 2, 3
local i, j = k(), k()
