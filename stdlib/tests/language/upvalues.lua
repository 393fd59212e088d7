-- debug.upvaluejoin, upvalueid, setupvalue; environments of userdata and threads.
local function make()
  local v = 1
  return function() return v end, function() return v end
end
local a, b = make()
local c, d = make()
debug.upvaluejoin(a, 1, c, 1)
print(a(), c())
debug.setupvalue(c, 1, 9)
print("the same variable now", a(), b(), c())
print(debug.upvalueid(a, 1) == debug.upvalueid(c, 1), debug.upvalueid(a, 1) == debug.upvalueid(b, 1))
print(debug.upvalueid(b, 1) == debug.upvalueid(c, 1), type(debug.upvalueid(a, 1)))
-- A closure of the same function that was not joined.
local e, g = make()
print(e(), g())
-- Assigned variables are shared from the start.
local function counter()
  local n = 0
  return function() n = n + 1 return n end, function() return n end
end
local inc, read = counter()
local inc2, read2 = counter()
print(inc(), inc(), read(), inc2(), read2())
debug.upvaluejoin(read2, 1, inc, 1)
print(inc(), read2(), inc2())
debug.upvaluejoin(inc2, 1, a, 1)
print(inc2(), a(), c(), read2())
-- A function that is made inside after the joining has the joined variable, one made before has not.
local function outer()
  local v = "own"
  return function()
    return function() return v end
  end
end
local o = outer()
local before = o()
debug.upvaluejoin(o, 1, inc, 1)
print(before(), o()(), o()())
inc()
print(before(), o()())
-- An upvalue that is the function itself.
local function rec(n) if n == 0 then return "end" end return rec(n - 1) end
print(rec(3))
debug.setupvalue(rec, 1, function() return "other" end)
print(pcall(rec, 3))
print(pcall(debug.upvaluejoin, a, 1, c, 2))
print(pcall(debug.upvaluejoin, a, 2, c, 1))
print(pcall(debug.upvaluejoin, a, 0, c, 1))
print(pcall(debug.upvaluejoin, print, 1, c, 1))
print(pcall(debug.upvaluejoin, a, 1, print, 1))
print(pcall(debug.upvaluejoin, 1, 1, print, 1))
print(pcall(debug.upvaluejoin))
print(pcall(debug.upvalueid, a, 2))
print(pcall(debug.upvalueid, 1, 1))
print(debug.setupvalue(a, 2, 1))
print(pcall(debug.setupvalue, a, 1))
print(pcall(debug.getupvalue, a))
-- Environments.
local u, env = newproxy(), {}
print(debug.getfenv(u) == _G, debug.setfenv(u, env) == u, debug.getfenv(u) == env)
print(pcall(debug.setfenv, {}, env))
print(pcall(debug.setfenv, u, 1))
print(pcall(debug.setfenv, u))
print(debug.getfenv({}), debug.getfenv("x"), debug.getfenv(nil), pcall(debug.getfenv))
local co = coroutine.create(function() return getfenv(0) end)
print(debug.getfenv(co) == _G, debug.setfenv(co, env) == co, debug.getfenv(co) == env, select(2, coroutine.resume(co)) == env)
print(debug.getfenv(print) == _G, debug.setfenv(print, env) == print, debug.getfenv(print) == env, getfenv(print) == env)
local iterator = ("x"):gmatch(".")
print(debug.setfenv(iterator, env) == iterator, debug.getfenv(iterator) == env)
print(pcall(setfenv, print, {}))
print(debug.getfenv(type) == _G, debug.setfenv(print, _G) == print, getfenv(print) == _G)
