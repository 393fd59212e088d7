-- What LuaJIT's and PUC Lua's own tests have found wrong here once.
local function p(...) print(pcall(...)) end

-- setfenv(0): the running thread's environment; loaded chunks take it
local env = setmetatable({}, {__index = _G})
setfenv(0, env)
print(getfenv(0) == env, getfenv(loadstring('')) == env, getfenv(1) == _G)
print(coroutine.wrap(function() return getfenv(0) == env end)())
setfenv(0, _G)
local co = coroutine.create(function() return getfenv(0) end)
debug.setfenv(co, env)
print(debug.getfenv(co) == env, select(2, coroutine.resume(co)) == env)
p(function() setfenv(print, {}) end)
p(function() setfenv(-1, {}) end)

-- more constants than short operands can name
local names = {}
for i = 1, 70000 do names[i] = 'a' .. i .. '=' .. i + 0.5 end
local big = assert(loadstring('local t = {' .. table.concat(names, ',') .. '} some_global = t.a70000 return some_global'))
print(setfenv(big, {})())

-- levels inside an xpcall handler: handler, error, function
print(xpcall(function() local x; error('message') end, function(m) return m .. ' ' .. debug.getlocal(3, 1) end))
print(xpcall(function() local function f() error('message', 2) end f() end, function(m) return m .. ' ' .. debug.getlocal(4, 1) end))

-- locals of another coroutine
co = coroutine.create(function(x) local a = 1 coroutine.yield() return a, x end)
coroutine.resume(co, 10)
print(debug.getlocal(co, 1, 1))
print(debug.getlocal(co, 1, 2))
print(debug.setlocal(co, 1, 2, 'hi'), coroutine.resume(co))
print(debug.getinfo(co, 1))
local lines = {}
for line in pairs(debug.getinfo(function()
  local x = 1
  return x
end, 'L').activelines) do lines[#lines + 1] = line end
print(#lines)

-- lengths, ranges, arguments
p(string.rep, 'x', -1)
p(function() string.len() end)
p(function() string.char(256) end)
p(function() return #{unpack({}, 1, 7000)} end)
p(function() return unpack({}, 1, 8000) end)
p(function() return next({}, 1) end)
p(function() return math.random(0) < 2 end)
p(function() io.lines('/nonexistent') end)
local s = string.rep('\0', 2^25)
p(loadstring('local a = ... return a' .. string.rep('..a', 64)), s)
s = nil

-- a reader that gives no string
p(load, function() return {} end)
p(load, function() error('in the reader', 0) end)

-- files
local name = os.tmpname()
local f = assert(io.open(name, 'w'))
print(f:setvbuf('line'), io.type(f))
local r = assert(io.open(name))
f:write('x')
print(r:read('*a'))
f:write('y\nz')
r:seek('set')
print(r:read('*a'))
print(r:write('x'))
f:close()
r:seek('set')
print(r:read('*a'))
r:close()
os.remove(name)
p(getmetatable(io.stdin).__gc)

-- the jit library tells the truth
print(jit.status(), jit.os, type(jit.version), jit.version_num >= 20100, jit.off(), jit.on(), jit.flush())
print(#package.loaders)
print(pcall(function() module('math.sin') end))
print(type(math.sin))
