local t, i = ...
local a = t.x.y
local b = t[1][255][256][-1][1.5]
local c = t[i][t.x]["key"]
t.x = 1
t[1] = nil
t[i] = t
t[t.x][i].y = "v"
