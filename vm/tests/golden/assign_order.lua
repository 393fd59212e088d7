-- Targets first, then values, then stores from the last to the first.
local a, b, t = 1, 2, {}
a, b = b, a
t.x, t[a] = a, b
a, t.x, t = t, a
t[a], a = 1, 2
g, h = f()
