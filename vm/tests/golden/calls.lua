local f, t = ...
f()
f(1, "two", nil)
f "text"
f { 1 }
f(f())
f(f(), 1)
local a = f(...)
local b, c = f()
t.x.y(1).z(2)
t:m(1, ...)
t.a:m():n()
