-- A fresh object is put where only an old one holds it, in every way there is; it must still be there some safe points later.
local function turns() for _ = 1, 6 do local waste = { {} } end end
local count = 0
-- store(holder, value), then value == fetch(holder)
local function way(make, store, fetch)
  local holder = make()
  turns()
  for i = 1, 25 do
    store(holder, { i, { i } }, i)
    turns()
    local v = fetch(holder, i)
    assert(v[1] == i and v[2][1] == i)
    v = nil
    turns()
  end
  count = count + 1
end
local function new() return {} end

way(new, function(t, v) t.x = v end, function(t) return t.x end)
way(new, function(t, v) t[1] = v end, function(t) return t[1] end)
way(new, function(t, v, i) t[i] = v end, function(t, i) return t[i] end)
way(new, function(t, v, i) t['k' .. i] = v end, function(t, i) return t['k' .. i] end)
way(new, function(t, v, i) t[i / 2 + 0.25] = v end, function(t, i) return t[i / 2 + 0.25] end)
way(new, function(t, v) t[v] = true end, function(t) local k = next(t) t[k] = nil return k end)
way(new, function(t, v) rawset(t, 'x', v) end, function(t) return rawget(t, 'x') end)
way(new, function(t, v) table.insert(t, v) end, function(t) return t[#t] end)
way(new, function(t, v) table.insert(t, 1, v) end, function(t) return t[1] end)
way(new, function(t, v) t[1] = nil t[1] = v end, function(t) return table.remove(t) end)
way(new, function(t, v) t.x = nil t.y = nil t.x = v end, function(t) return t.x end)
way(new, function(t, v) setmetatable(t, v) end, getmetatable)
way(new, function(t, v) setmetatable(t, { __index = v }) end, function(t) return getmetatable(t).__index end)
way(
  function() return setmetatable({}, { __newindex = function(t, k, v) rawset(t, k, v) end }) end,
  function(t, v, i) t[i] = v end,
  function(t, i) return t[i] end
)
way(function() return setmetatable({}, { __newindex = {} }) end, function(t, v) t.x = v end, function(t)
  return getmetatable(t).__newindex.x
end)
way(
  function() local x return { set = function(v) x = v end, get = function() return x end } end,
  function(o, v) o.set(v) end,
  function(o) return o.get() end
)
way(function() local x = {} return function() return x end end, function(f, v) debug.setupvalue(f, 1, v) end, function(f)
  return f()
end)
way(function() return function() return x end end, setfenv, getfenv)
way(function() return setfenv(function(v) x = v return x end, {}) end, function(f, v) f(v) end, function(f)
  return getfenv(f).x
end)
way(function() return newproxy(true) end, function(u, v) getmetatable(u).x = v end, function(u) return getmetatable(u).x end)
way(function() return newproxy(true) end, function(u, v) debug.setmetatable(u, v) end, getmetatable)
way(function()
  local co = coroutine.create(function() local v while true do local new = coroutine.yield(v) v = new or v end end)
  coroutine.resume(co)
  return co
end, function(co, v) coroutine.resume(co, v) end, function(co) return select(2, coroutine.resume(co)) end)
way(function() return { co = coroutine.create(print) } end, function(o, v)
  o.co = coroutine.create(function() coroutine.yield(v) end)
end, function(o) return select(2, coroutine.resume(o.co)) end)
way(function()
  local co = coroutine.create(function() local v while true do coroutine.yield() end return v end)
  coroutine.resume(co)
  return co
end, function(co, v) debug.setlocal(co, 1, 1, v) end, function(co) return select(2, debug.getlocal(co, 1, 1)) end)
way(new, function(t, v) table.move({ v }, 1, 1, 3, t) end, function(t) return t[3] end)
way(new, function(t, v) t[1], t[2], t[3] = 3, v, 1 table.sort(t, function(a, b)
  turns()
  return (type(a) == 'table' and 2 or a) < (type(b) == 'table' and 2 or b)
end) end, function(t) return t[2] end)
way(new, function(t, v) t.list = { unpack({ 1, v, 3 }) } end, function(t) return t.list[2] end)
way(new, function(t, v) t.f = select(2, pcall(function() return function() return v end end)) end, function(t) return t.f() end)
way(new, function(t, v) t.e = select(2, pcall(error, v)) end, function(t) return t.e end)
way(new, function(t, v) t.e = select(2, xpcall(error, function(e) turns() return e end, v)) end, function(t) return t.e end)
way(new, function(t, v) ('xyz'):gsub('.', function(c) turns() t[c] = v end) end, function(t) return t.y end)
way(new, function(t, v) t.f = load('local v = ... return function() return v end')(v) end, function(t) return t.f() end)
way(function() return 'loaded' end, function(n, v) package.loaded[n] = v end, function(n) return require(n) end)
way(new, function(_, v) debug.getregistry().zeal = v end, function() return debug.getregistry().zeal end)
way(new, function(_, v) debug.setmetatable(0, v) end, function() return debug.getmetatable(0) end)
debug.setmetatable(0, nil)
-- strings are objects too
way(new, function(t, v, i) t[1] = 's' .. i t[2] = v end, function(t, i) assert(t[1] == 's' .. i) return t[2] end)
way(new, function(t, v, i) t['s' .. i] = v end, function(t, i)
  for k, v in pairs(t) do assert(#k > 1) end
  return t['s' .. i]
end)
way(function() return require('string.buffer').new() end, function(b, v, i)
  b:encode(v)
  assert(#b > 0)
end, function(b) return b:decode() end)
local mark = 1LL
way(new, function(t, v, i) t[1] = mark * i t[2] = v end, function(t, i) assert(t[1] == mark * i) return t[2] end)
print(count)
