-- coroutine.yield works wherever Lua code runs. LuaJIT itself refuses some of these places (sort, gsub, require, load, tostring).
local yield = coroutine.yield

-- Runs f in a coroutine; each yield is answered with its own value, doubled for numbers. Prints what came by.
local function run(name, f)
  local co = coroutine.create(f)
  local seen = {}
  local function go(ok, ...)
    if coroutine.status(co) == 'dead' then
      local results = {...}
      for i = 1, select('#', ...) do results[i] = tostring(results[i]) end
      print(name, table.concat(seen, ' '), ok and '->' or 'error', table.concat(results, ' '))
      return
    end
    local v = ...
    seen[#seen + 1] = tostring(v)
    return go(coroutine.resume(co, type(v) == 'number' and v * 2 or v))
  end
  go(coroutine.resume(co))
end

local function tell(event)
  return function(a, b) return yield(event) end
end
local function object(event, f)
  return setmetatable({}, {[event] = f or tell(event)})
end

run('pcall', function() return pcall(function(x) return yield(x) end, 21) end)
run('pcall error', function() return pcall(function(x) error(yield(x), 0) end, 'e') end)
run('xpcall', function() return xpcall(function() return yield(1) end, print) end)
run('xpcall handler', function() return xpcall(error, function(e) return yield(e) .. '!' end, 'e') end)
run('error in a yielding handler', function() return xpcall(error, function(e) yield(e) error('again') end, 'e') end)
run('__index', function() return object('__index').x end)
run('__index self', function() local o = object('__index') return o:x() end)
run('__index key', function() local o, k = object('__index'), {} return o[k] end)
run('__newindex', function() local o = object('__newindex') o.x = 1 o[{}] = 2 o[1] = 3 return 'set' end)
run('__call', function() return object('__call', function(self, x) return yield(x) end)(4) end)
run('__concat', function() local o = object('__concat') return o .. 'x', 'a' .. 'b' .. o .. 'c' end)
run('__eq', function()
  local eq = tell('__eq')
  local a, b = object('__eq', eq), object('__eq', eq)
  return a == b, a ~= b, not (a == b)
end)
run('__lt', function() local a, b = object('__lt') b = setmetatable({}, getmetatable(a)) return a < b, b > a, not (a < b) end)
run('__le', function() local a, b = object('__le') b = setmetatable({}, getmetatable(a)) return a <= b, a >= b end)
run('__lt for __le', function()
  local a = object('__lt', function() return yield(false) end)
  return a <= setmetatable({}, getmetatable(a))
end)
run('if __lt', function()
  local a = object('__lt', function() return yield(1) == 2 end)
  local b, n = setmetatable({}, getmetatable(a)), 0
  if a < b then n = n + 1 end
  while a < b do n = n + 1 if n > 2 then break end end
  return n
end)
run('__len', function() return #object('__len') end)
run('__unm', function() return -object('__unm') end)
for _, op in ipairs{'add +', 'sub -', 'mul *', 'div /', 'mod %', 'pow ^'} do
  local name, sign = op:match('(%a+) (.)')
  local f = loadstring('local o = ... return o ' .. sign .. ' 1, 1 ' .. sign .. ' o, o ' .. sign .. ' o')
  run('__' .. name, function() return f(object('__' .. name)) end)
end
run('iterator', function()
  local sum = 0
  for i in function(_, i) i = yield((i or 0) + 1) return i < 20 and i or nil end do sum = sum + i end
  return sum
end)
run('__pairs', function()
  local o = object('__pairs', function(t) yield('__pairs') return next, {7}, nil end)
  local n = 0
  for _, v in pairs(o) do n = n + v end
  return n
end)
run('sort', function()
  local t, n = {3, 1, 2}, 0
  table.sort(t, function(a, b) n = n + 1 yield('?') return a < b end)
  return n > 1, table.concat(t, ',')
end)
run('gsub', function() return ('abc'):gsub('.', function(c) return yield(c):upper() end) end)
run('gsub __index', function() return ('$x'):gsub('%$(%w+)', object('__index')) end)
run('gmatch body', function()
  local out = ''
  for w in ('a b'):gmatch('%a') do out = out .. yield(w) end
  return out
end)
run('require', function()
  package.preload['a.module'] = function(name) return {name = yield(name)} end
  return require('a.module').name, package.loaded['a.module'].name
end)
run('load reader', function()
  local n = 0
  local f = load(function()
    n = n + 1
    return n <= 2 and yield(n == 1 and 'return ' or '42') or nil
  end)
  return f()
end)
run('tostring', function() return tostring(object('__tostring', function() return yield('text') end)) end)
run('print', function()
  local env = setmetatable({tostring = function(v) return yield(tostring(v)) end}, {__index = _G})
  return tostring(env.tostring(5))
end)
run('foreach', function() local n = 0 table.foreach({1, 2}, function(k, v) n = n + yield(v) end) return n end)
run('dofile chunk', function() return assert(loadstring('return coroutine.yield(...)'))(3) end)
run('wrap in wrap', function()
  local inner = coroutine.wrap(function() yield(1) yield(2) return 3 end)
  return yield(inner()), yield(inner()), inner()
end)
run('tail call', function() return yield('t') end)
run('vararg', function(...) return select('#', yield('v'), yield(nil)), (yield('w')) end)

-- All at once: a comparator that is called by sort, inside gsub, inside __index, inside pcall, inside an iterator.
run('nested', function()
  local proxy = setmetatable({}, {__index = function(_, key)
    return (key:gsub('%a', function(c)
      local t = {c, 'm', 'z'}
      table.sort(t, function(a, b)
        local ok, less = pcall(function()
          local x = setmetatable({a}, {__lt = function(p, q) return p[1] < yield(q[1]) end})
          return x < setmetatable({b}, getmetatable(x))
        end)
        return ok and less
      end)
      return setmetatable({}, {__concat = function(s, _) return yield(table.concat(t)) end}) .. ''
    end))
  end})
  local out = {}
  for k in coroutine.wrap(function() for _, k in ipairs{'b', 'y'} do yield(k) end end) do
    out[#out + 1] = tostring(setmetatable({}, {__tostring = function() return yield(proxy[k]) end}))
  end
  return xpcall(function() error(table.concat(out, ' '), 0) end, function(e) return yield('handled ' .. e) end)
end)

-- Where it cannot work: outside coroutines it yields to the host, and a finalizer is a coroutine of its own.
local u = newproxy(true)
local finalized = 0
getmetatable(u).__gc = function() finalized = finalized + 1 yield('never seen') finalized = finalized + 10 end
u = nil
collectgarbage()
print('__gc', finalized)

-- Each coroutine has its own exdata (of OpenResty's LuaJIT only: absent elsewhere).
do
  local ok, exdata = pcall(require, "thread.exdata")
  if not ok then
    local values = setmetatable({}, { __mode = "k" })
    exdata = function(...)
      local co = coroutine.running() or "main"
      if select("#", ...) == 0 then return values[co] end
      values[co] = (...)
    end
  end
  exdata(1)
  local co = coroutine.wrap(function() local before = exdata() exdata(2) coroutine.yield(before) return exdata() end)
  print(co(), exdata(), co(), exdata())
end
