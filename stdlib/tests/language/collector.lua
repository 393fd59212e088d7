-- Weak tables, __gc of userdata, the options of collectgarbage.
local function count(t)
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  return n
end

local kept = {}
local keys = setmetatable({}, {__mode = 'k'})
keys[{}], keys[kept], keys['text'], keys[1] = 1, 2, 3, {}
collectgarbage()
print('weak keys', count(keys), keys[kept], keys.text, type(keys[1]))

local meta = {}
local values = setmetatable({}, meta)
meta.__mode = 'v'
values[1], values[2], values.x, values.y, values.z = {}, kept, {}, 'text', kept
collectgarbage()
print('weak values, the mode set late', count(values), values[1], values[2] == kept, values.x, values.y, values.z == kept)

local both = setmetatable({}, {__mode = 'kv'})
both[{}] = kept
both[kept] = {}
both[1] = kept
collectgarbage()
print('both weak', count(both), both[1] == kept)

local strong = setmetatable({}, {})
strong[1] = {}
collectgarbage()
print('no mode', type(strong[1]))

do
  local t = {}
  t[{}] = 1
  for k in pairs(t) do t[k] = nil collectgarbage() end
  print('a dead key', next(t))
  for i = 1, 100 do t[{}] = i end
  for k in pairs(t) do t[k] = nil end
  collectgarbage()
  for i = 1, 100 do t[{}] = i end
  print('slots used again', count(t))
end

local u = newproxy(true)
getmetatable(u).__gc = function(o) print('__gc', type(o)) end
u = nil
collectgarbage()

do
  local order = ''
  local all = {}
  for i = 1, 3 do
    all[i] = newproxy(true)
    getmetatable(all[i]).__gc = function() order = order .. i end
  end
  all = nil
  collectgarbage()
  print('the youngest first', order)
end

do
  local order, all = '', {}
  for i = 1, 3 do
    all[i] = newproxy(true)
    getmetatable(all[i]).__gc = function()
      local before = order
      for _ = 1, 1e5 do end
      order = before .. i
    end
  end
  all = nil
  collectgarbage()
  print('one after the other', order)
end

do
  local p, seen = newproxy(true), setmetatable({}, {__mode = 'k'})
  getmetatable(p).__gc = function(o) print('still a key', seen[o]) end
  seen[p] = 'yes'
  p = nil
  collectgarbage()
  collectgarbage()
  print('then gone', count(seen))
end

do
  local p, again = newproxy(true)
  getmetatable(p).__gc = function(o) again = o end
  p = nil
  collectgarbage()
  print('revived', type(again))
end

do
  local p = newproxy(true)
  setmetatable(getmetatable(p), {__mode = 'v'})
  getmetatable(p).__gc = function() print('never called: the metatable is weak') end
  collectgarbage()
  print('a weak metatable', getmetatable(p).__gc)
end
collectgarbage()

local p = newproxy(true)
getmetatable(p).__gc = function() error('in __gc', 0) end
p = nil
print(pcall(collectgarbage))
print('tables have no __gc', (pcall(setmetatable, {}, {__gc = error})))

do
  local done = false
  local p = newproxy(true)
  getmetatable(p).__gc = function() done = true end
  p = nil
  for i = 1, 1e6 do local t = {} if done then break end end
  print('called while others run', done)
end

print(collectgarbage('setpause', 150), collectgarbage('setpause', 200))
print(collectgarbage('setstepmul', 150), collectgarbage('setstepmul', 200))
print(collectgarbage('count') > 0, collectgarbage('stop'), collectgarbage('restart'), collectgarbage())
print(collectgarbage('step', 1e6), pcall(collectgarbage, 'nonsense'))
do
  collectgarbage()
  collectgarbage('stop')
  local before, steps = gcinfo(), 0
  for i = 1, 2000 do local t = {{}} end
  repeat steps = steps + 1 until collectgarbage('step', 0)
  collectgarbage('restart')
  print('many small steps', steps > 10, gcinfo() < before + 100)
end
