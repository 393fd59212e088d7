local function none() return end
local function one(a) return a end
local function two(a, b) return a, b end
local function tail(f) return f(1) end
local function cut(f) return (f(1)) end
local function all(...) return ... end
local function method(o, ...) return o:m(...) end
