local a = {}
local b = { 1, 2, 3 }
local c = { x = 1, ["y"] = 2, [3] = b, [a] = c }
local d = { f(), x = f(), f() }
local e = { ..., (f()) }
local g = { { 1 }, { { x = {} } } }
local h = { ... }
