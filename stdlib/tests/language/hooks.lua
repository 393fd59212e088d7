-- debug.sethook: events, what the hook sees, where it applies.
local function f(a)
  return a + 1
end
local function g() f(1) return 2 end
local function hook(e, l)
  local i = debug.getinfo(2, "nSlf")
  print(e, l, i.what, i.name, i.namewhat, i.currentline, i.linedefined)
end

print("-- lines")
debug.sethook(hook, "l") local z = 1
local x = f(1) + f(2)
local y = g()
for i = 1, 3 do local q = i end
for i = 1, 2 do
  local q = i
end
local n = 0
while n < 2 do n = n + 1 end
local t = setmetatable({}, {__index = function(t, k) return k end})
local v = t.x .. t.y
pcall(f, 1) local w = 1
table.sort({2, 1}, function(a, b)
  return a < b end) local ww = 1
local co = coroutine.wrap(function() coroutine.yield(1) coroutine.yield(2) end)
co() co()
string.gsub("ab", ".", function(c) return c end)
debug.sethook()

print("-- calls")
debug.sethook(hook, "c")
x = f(1) + f(2)
y = g()
t.x = t.y
pcall(f, 1)
local _ = tostring(1)
for k, v in pairs({1}) do end
for k, v in ipairs({1}) do end
local ct = setmetatable({}, {__call = function(self, a) return a end})
ct(1)
co = coroutine.wrap(function() coroutine.yield(1) return 2 end)
co() co()
debug.sethook()

print("-- returns")
debug.sethook(hook, "r")
x = f(1) + f(2)
y = g()
local function tail(a) return f(a) end
tail(1)
pcall(f, 1)
pcall(error, "x")
debug.sethook()

print("-- all of them")
debug.sethook(hook, "crl")
x = f(1)
debug.sethook()

print("-- gethook")
print(debug.gethook())
debug.sethook(hook, "", 0)
print(debug.gethook() == hook, select(2, debug.gethook()))
debug.sethook(function() end, "clr", 100)
print(select(2, debug.gethook()))
debug.sethook(f, "zz", 100)
print(debug.gethook() == f, select(2, debug.gethook()))
debug.sethook(nil, "l")
print(debug.gethook())
print(pcall(debug.sethook, 1))
print(pcall(debug.sethook, 1, "l"))
print(pcall(debug.sethook, hook))
print(pcall(debug.sethook, hook, {}))

print("-- locals")
local function two(a, b, c)
  local d = 4 c = 5
  return a, c
end
local function watch(who, mask, look)
  debug.sethook(function(e, l)
    if debug.getinfo(2, "f").func == who then
      print(e, l)
      look(e)
    end
  end, mask)
end
local function show(e)
  for i = 1, 9 do
    local name, v = debug.getlocal(3, i)
    if not name or name:sub(1, 1) == "(" then break end
    print(" ", name, v)
  end
end
watch(two, "clr", show)
two(1)
debug.sethook()
watch(two, "c", function() print(debug.setlocal(3, 1, "A"), debug.setlocal(3, 2, "B")) end)
print(two(1))
debug.sethook()
local function cells(a, b)
  local function s() a = 2 b = 3 end
  return a, b
end
watch(cells, "clr", function(e) print(debug.getlocal(3, 1)) print(debug.setlocal(3, 1, e), debug.getlocal(3, 2)) end)
print(cells(1, 2))
debug.sethook()
local function va(a, ...) local x = ... return a end
watch(va, "clr", function() print(debug.getlocal(3, 1)) end)
va(1, 2, 3)
debug.sethook()
local function empty(a) end
watch(empty, "clr", show)
empty(1)
debug.sethook()

print("-- pending lists and comparisons")
local function m(...) return ... end
debug.sethook(function(e, l) return 1, 2, 3 end, "clr", 1)
print(m(1, m(2, 3, m(4, 5, 6))))
print(({m(1, 2, m(3, 4))})[5] == nil, select("#", m(nil, nil)))
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
print(fib(10))
t = setmetatable({}, {
  __concat = function(a, b) return "cat" end,
  __lt = function() return true end,
  __newindex = function(t, k, v) rawset(t, k, v * 2) end,
})
t.x = 4
print(t .. 1, t < t, t.x, #"abc", -"2")
for i = "1", "3" do print(i) end
debug.sethook()

print("-- coroutines")
n = 0
debug.sethook(function(e, l) n = n + 1 end, "l")
local c = coroutine.create(function()
  local a = 1
  local b = 2
end)
coroutine.resume(c)
debug.sethook()
print(n)
co = coroutine.create(function() local a = 1
  local b = 2 end)
local seen, here = {}, debug.getinfo(1, "l").currentline
debug.sethook(co, function(e, l) seen[#seen + 1] = l - here end, "l")
coroutine.resume(co)
debug.sethook()
print(table.concat(seen, " "))
print(debug.gethook(co))
co = coroutine.create(function()
  debug.sethook(function(e, l) debug.sethook() coroutine.yield(1) end, "l")
  local a = 1
end)
print(coroutine.resume(co))
debug.sethook(function() coroutine.wrap(function() coroutine.yield(1) end)() debug.sethook() end, "l")
print("a hook may resume")

print("-- errors")
print(pcall(function()
  debug.sethook(function(e, l) debug.sethook() error("boom " .. e) end, "l")
  local a = 1
end))
print(pcall(function()
  debug.sethook(function(e, l) debug.sethook() error("level 2", 2) end, "l")
  local a = 1
end))
print(pcall(function()
  debug.sethook(function(e, l) debug.sethook() local x = nil + 1 end, "c")
  tostring(1)
end))
n = 0
local function bad()
  local a = 1
  local b = 2
end
here = debug.getinfo(bad, "S").linedefined
debug.sethook(function(e, l) n = n + 1 if l == here + 2 then error("line 2") end end, "l")
print(pcall(bad))
z = 1
debug.sethook()
print("went on after the error", n)
n = 0
debug.sethook(function(e, l) n = n + 1 pcall(error, "x")
  local a = 1
end, "l")
z = 1
z = 2
debug.sethook()
print("a pcall in the hook", n)

print("-- loops")
local function stop()
  n = 0
  debug.sethook(function() n = n + 1 if n > 3 then debug.sethook() error("enough", 2) end end, "l")
end
print(pcall(function() stop() ::a:: goto a end))
print(pcall(function() stop() while true do end end))
print(pcall(function() stop() repeat until false end))
print(pcall(function() stop() for i = 1, math.huge do end end))
n = 0
debug.sethook(function(e, l)
  n = n + 1
  if n > 5 then debug.sethook() error("count " .. tostring(l) .. e) end
end, "", 100)
print(pcall(function() while true do end end))

print("-- replaced, traced")
local function second(e, l) print("second") end
debug.sethook(function(e, l) print("first") debug.sethook(second, "l") end, "l")
z = 4
z = 5
debug.sethook()
debug.sethook(function()
  debug.sethook()
  local i = debug.getinfo(1, "n")
  print(i.name, i.namewhat, debug.getinfo(2, "S").what)
  print((debug.traceback("traced"):gsub("\n\t%[C%]: at 0x%x+", "")))
end, "l")
z = 6

print("-- which lines are come by")
local chunks = {
  "if\nmath.sin(1)\nthen\n  a=1\nelse\n  a=2\nend\n",
  "--\nif nil then\n  a=1\nelse\n  a=2\nend\n",
  "a=1\nrepeat\n  a=a+1\nuntil a==3\n",
  " do\n  return\nend\n",
  "local a\na=1\nwhile a<=3 do\n  a=a+1\nend\n",
  "while math.sin(1) do\n  if math.sin(1)\n  then\n    break\n  end\nend\na=1",
  "for i=1,3 do\n  a=i\nend\n",
  "for i,v in pairs{'a','b'} do\n  a=i..v\nend\n",
  "for i=1,4 do a=1 end",
  "local function f()\n return 1\nend\nprint(\n'x',\nf())\n",
  "local t = {}\nt.x = function()\nend\nfunction t.y()\nend\nt\n.x()\n",
  "local a, b = 1\nif a then\nelseif b then\nelse\nend\nif not a\nor b\nthen\n b = 1\nend\n",
  "goto x\ndo local y = 1 end\n::x::\nlocal z = 1\n::y::\nlocal q\n",
  "local a = 1\nlocal b = a == 1\nlocal c = not (a\n== 2)\nlocal d = a\n.. 'x' ..\n a\n",
  "for i = 3, 1, -1\ndo\n local x = i\n if x == 2 then break end\nend\nlocal x\n",
  "local x = 0\nrepeat local y = x\n x = x + 1\nuntil\n y > 1\n",
  "while true do\n break\nend\nlocal a = 1\n",
  "local a\nfor k, v in next,\n{1,2} do\n a = k\nend",
  "local n = 0\nwhile true do\n n = n + 1\n if n > 2 then\n break\n end\nend",
  "local n = 0\nwhile true do n = n + 1\n if n > 2 then break end\nend",
  "local n = 0\nwhile n < 2 do n = n + 1 end\nrepeat n = n + 1 until n > 4",
  "local a, b,\nc = 1,\n2,\n3\na, b =\nb, a\n",
}
for i, text in ipairs(chunks) do
  local lines, f = {}, assert(loadstring(text))
  debug.sethook(function(e, l)
    if debug.getinfo(2, "f").func == f then lines[#lines + 1] = l end
  end, "l")
  f()
  debug.sethook()
  print(i, table.concat(lines, " "))
end

print("-- temporaries")
print(debug.getlocal(0, 1))
print(debug.getlocal(0, 2))
print(debug.getlocal(0, 3), (debug.getlocal(0, 0)))
local function change()
  print(debug.getlocal(2, 3))
  print(debug.getlocal(2, 4))
  print(debug.setlocal(2, 3, 10))
  return 20
end
local function sum(a, b) return (a + 1) + change() end
print(sum(0, 0))
local function extra(a, ...)
  print(debug.getlocal(1, -1))
  print(debug.getlocal(1, -2))
  print(debug.getlocal(1, -3))
  print(debug.setlocal(1, -2, "new"))
  return ...
end
print(extra(1, 2, 3))
for i = 1, 3 do
  for n = 1, 300 do
    local name = debug.getlocal(1, n)
    if name == "(for index)" then
      debug.setlocal(1, n, 3)
      break
    end
  end
  print("round", i)
end
local function three() return 3 end
for k in three, 1, nil do
  for n = 1, 300 do
    local name = debug.getlocal(1, n)
    if name == "(for generator)" then
      debug.setlocal(1, n, function() end)
      break
    end
  end
  print("generated", k)
end

-- A native that is a metamethod is called like any other.
do
    local seen = {}
    local object = setmetatable({}, { __index = rawget })
    debug.sethook(function(event) seen[#seen + 1] = event .. ":" .. debug.getinfo(2, "S").what end, "c")
    local _ = object.field
    debug.sethook()
    print(table.concat(seen, " "))
end
-- A table's constant items have no lines of their own.
local function lines(s)
  local f, active, seen = loadstring(s), {}, {}
  for line in pairs(debug.getinfo(f, "L").activelines) do active[#active + 1] = line end
  table.sort(active)
  debug.sethook(function(_, line) seen[#seen + 1] = line end, "l")
  pcall(f)
  debug.sethook()
  seen[#seen] = nil
  print(table.concat(active, " "), table.concat(seen, " "))
end
_G.x, _G.f = nil, function() end
lines "local t = {\n1,\n2,\n3\n}"
lines "local t = {\n1,\n2,\nx\n}\nf()"
lines "local t = {\nx,\n2,\n3\n}\nf()"
lines "local t = {\na=1,\nb=2,\nc=x\n}"
lines "local t = {\na=x,\nb=2,\nc=3\n}\nf()"
lines "local t = {\na=1,\n[2]=2,\n['c']=3,\n[true]='x',\n}"
lines "local t = {\nnil,\n2,\n[nil]=3,\n}"
lines "local t = {\nnil,\n2,\n[x]=3,\n}"
lines "local t = {\na=x+1,\nb=2,\nc=3\n}"
lines "return {\na=nil,\nb=2,\nc={\n1,\n2}\n}"
lines "f{\na='k',\nb=2,\n3,\n}"
lines "f{\na=x,\n'k',\nb=2,\n3,\n-x,\n}\nf()"
lines "f({\n1,\n2\n},\n{\n3,\nf,\n}\n)"
lines("local t = {\nx,\n" .. ("1,\n"):rep(70) .. "x,\n}\nf()")
lines("local t = {\n" .. ("1,\n"):rep(70) .. "}\nf()")
lines("local t = {\n" .. ("x,\n"):rep(60) .. "}\nf()")
