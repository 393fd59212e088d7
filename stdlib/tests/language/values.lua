-- Values: evaluation order, logic, arithmetic, closures, loops, goto, calls, varargs. LuaJIT prints the same.
local function show(...) print(...) end
local function id(...) return ... end
do local a, b, c = id(1, 2); show(a, b, c) end
do local a, b, c = 0, id(1, 2), 3; show(a, b, c) end
do local a, b = (id(1, 2)); show(a, b) end
do local t = {id(1,2), id(1,2)}; show(#t, t[1], t[2], t[3]) end
do local t = {id(1,2), (id(1,2))}; show(#t) end
do local t = {[1]="x", "y", n = 1, "z"; "w"}; show(t[1], t[2], t[3], t.n) end
do local i, t = 1, {}; i, t[i] = i + 1, 20; show(i, t[1], t[2]) end
do local a = {}; local b = a; a.x, a = 1, 2; show(b.x, a) end
do local a = {1}; a, a[1] = 5, 6; show(a) end
do local x, y = 1, 2; x, y = y, x; show(x, y) end
do local t = {1,2,3}; local i = 1; i, t[i], t[i+1] = 2, "a", "b"; show(i, t[1], t[2], t[3]) end
do local a; local function f() a = 10; return 1 end; a = 1; show(a + f()); a = 1; show(f() + a); a = 1 show(a < f()) a=1 show(a .. f()) end
do local t = {10,20}; local k = 1; local function f() k = 2 return 0 end; show(t[k + f()], k) k = 1; local z = t[k], f() show(z) end
-- logic
local T, F, N = true, false, nil
show(1 and 2, nil and 2, false and nil, 1 or 2, nil or 2, false or nil)
show(T and 1 or 2, F and 1 or 2, N and 1 or 2, T and nil or 2, T and false or 2)
show(T and F or N, (T or F) and N, (F or N) and 1, not T or F, not (T and F))
show(1 < 2 and 3, 1 > 2 and 3, 1 < 2 or 3, 1 > 2 or 3, 1 < 2 and 2 < 3, 1 < 2 and 2 > 3, 1 > 2 or 2 > 3, 1 > 2 or 3 > 2)
do local a, b, c = 1, nil, false
  show(a and b and c, a or b or c, a and (b or c), (a and b) or c, (a or b) and c, not a and b, not (a and b), not b, not not a, a and not b)
  show(a == 1 and "one" or "other", b == nil and "nil" or "not", c ~= false and "x" or "y", a ~= 1 or a, not (a == 1) or b)
  local x = a or b; x = x and c; show(x) x = b or x show(x) x = (x or a) and x show(x) x = x or x or a show(x) x = (b or x) and (x or b) show(x)
  local y = 5; y = y and y + 1 or y - 1; show(y) y = c and y or y * 2 show(y)
  y = not y show(y) y = not (y and a < 2) show(y) y = (a < 2) == (y ~= nil) show(y)
  if not a or b then show "no" elseif a and not b and not c then show "yes" else show "no" end
  if (a and b) or (not b and c ~= nil) then show "yes2" end
  if nil then show "bad" elseif false then show "bad" elseif 1 then show "good" else show "bad" end
  while true do if a then break end end
  while a and a < 5 do a = a + 1 end show(a)
  repeat local z = a; a = a - 1 until z < 3 or not a show(a)
end
do local nan = 0/0; show(nan < 1, not (nan < 1), nan >= 1, not (nan >= 1), nan == nan, nan ~= nan, 1 > nan, not (1 > nan), 1 <= nan, not(1 <= nan))
 local x = 5 show(x < 6, x <= 5, x > 4, x >= 5, x == 5, x ~= 5, 6 < x, 5 <= x, 4 > x, 5 >= x, 5 == x, 5 ~= x)
 show(not (x < 6), not (x <= 5), not (x > 4), not (x >= 5), not (x == 5), not (x ~= 5), not (6 < x), not (5 <= x), not (4 > x), not (5 >= x), not (5 == x))
 local s = "a" show(s == "a", s ~= "a", "a" == s, s == nil, nil ~= s, s == true, s < "b", s >= "b", "b" > s, "b" <= s) end
-- arithmetic
do local a, b = 7, 2; show(a+b, a-b, a*b, a/b, a%b, a^b, -a, a+1, 1+a, a-1, 1-a, 2*a, a*2, a/4, 4/a, a%3, 3%a, a^2, 2^a, -a^2, (-a)^2, 2^-1, -2^2)
 show(2^3^2, (2^3)^2, 1 .. 2 .. 3, "a".."b"..1 ..2.5, #"abc", -"2", "10"+5, "3"*"4", 10 .."", 1+2 .. "x", "x"..1+2)
 show(1+2*3-4/2, (1+2)*3, 7%4*2, 2*7%4, -3%5, -3%-5, 3%-5, 5.5%2, -5.5%2, 1e15, 2^53, 1/3, 100, 1e100)
 show(0x10, 0xA.8, 1e2, .5, 5., 3e-2, 0x.1p4, 0b101, 1/0, -1/0, 0/0 ~= 0/0) show(-0, 0, 1/-0 , 1/(0*-1)) end
-- closures and loops
do local fs = {}; for i = 1, 3 do fs[i] = function() i = i + 10; return i end end show(fs[1](), fs[1](), fs[2](), fs[3]()) end
do local fs = {}; for i = 1, 3 do fs[i] = function() return i end end show(fs[1](), fs[2](), fs[3]()) end
do local fs = {}; for k, v in pairs{a=1} do fs[1] = function() k = k .. "x"; return k, v end end show(fs[1]()) show(fs[1]()) end
do local fs = {}; local i = 1; while i <= 3 do local j = i; fs[i] = function() j = j + 1; return j end; i = i + 1 end show(fs[1](), fs[1](), fs[2]()) end
do local fs = {}; for i = 1, 3 do local x; fs[i] = function() x = (x or 0) + 1 return x end end show(fs[1](), fs[1](), fs[2]()) end
do local fs, n = {}, 0; repeat local x = n; n = n + 1; fs[n] = function() x = x + 1; return x end until x >= 2 show(fs[1](), fs[1](), fs[3]()) end
do local function counter() local c = 0; return function() c = c + 1; return c end, function() return c end end
 local inc, get = counter(); inc(); inc(); show(get()); local inc2 = counter() show(inc2(), get()) end
do local function fact(n) return n <= 1 and 1 or n * fact(n - 1) end show(fact(10)) end
do local function f() return f end show(f() == f) local g = f; f = nil; show(g()) end
do local even, odd; function even(n) if n == 0 then return true end return odd(n-1) end function odd(n) if n == 0 then return false end return even(n-1) end show(even(10), odd(7), even(101)) end
do local x = 1; local function f() return x end; x = 2; show(f()) do local x = 3 show(f(), x) end end
do local function f(a, ...) local b = ...; return function() a = a + 1; return a, b, select and 1 end end local g = f(1, 2) show(g()) show(g()) end
do local function outer() local v = 1; local function mid() local function inner() v = v + 1; return v end return inner end return mid(), function() return v end end local a, b = outer() show(a(), b(), a(), b()) end
do local t = {} for i = 10, 1, -3 do t[#t+1] = i end show(t[1], t[2], t[3], t[4], #t) for i = 1, 0 do show "never" end for i = 1, 3 do local i = i * 2 show(i) end for i = 0.1, 0.35, 0.1 do show(i) end end
-- goto
do local i = 1 ::top:: if i <= 3 then show(i) i = i + 1 goto top end end
for i = 1, 3 do for j = 1, 3 do if j == 2 then goto continue end show(i, j) ::continue:: end end
do goto skip; show "skipped" ::skip:: show "here" end
do local k = 0 ::a:: k = k + 1 do if k < 3 then goto a end end show(k) end
do local fs = {} local i = 1 ::again:: local x = i; fs[i] = function() x = x + 1 return x end i = i + 1 if i <= 3 then goto again end show(fs[1](), fs[1](), fs[2](), fs[3]()) end
::x:: do goto x1 ::x1:: end do ::x1:: end
do local n = 0; ::lbl:: do n = n + 1; if n == 1 then goto lbl end; if n == 2 then goto fin end; ::fin:: end show(n) end
-- methods, varargs
local obj = {n = 5, sub = {m = 6}} function obj:get(x) return self.n + (x or 0) end function obj.sub:get() return self.m end function obj.plain(x) return x end
show(obj:get(), obj:get(1), obj.sub:get(), obj.plain(7))
do local function v(...) return select('#', ...), ... end show(v()) show(v(nil)) show(v(nil, nil)) show((v(1, 2))) local t = {v(1, 2)} show(#t) show(v(id(1, 2), id(3, 4))) show(id(...)) end
do local function tail(n, ...) if n == 0 then return ... end return tail(n - 1, n, ...) end show(tail(5)) show(tail(100) ~= nil) end
do local function f(a, b, ...) return a, b, ... end show(f()) show(f(1)) show(f(1, 2, 3, 4)) local function g(...) local a, b = ... return a, b end show(g(1)) local function h(...) local t = {...} return #t end show(h(1, 2, 3)) local function k(...) return (...) end show(k(1, 2)) end
show(#{1, 2, nil, 4} >= 2, #{n = 1}, #{id(1, 2, 3)}, #{id(1, 2, 3), 4}, #"\z   
   abc", "\65\066\x43\u{44}\u{e9}\u{20ac}\u{1F600}", 'a\
b', [[
line]], [==[a]]b]==])
do local t = {} for i = 1, 120 do t[i] = i end local big = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60, x = 1, 61, id(62, 63)} show(#big, big[50], big[51], big[61], big[63], big.x) end
do local t = setmetatable({}, {__index = function(t, k) return k .. "!" end, __call = function(self, ...) return "called", ... end, __add = function(a, b) return "add" end, __lt = function(a,b) return true end, __le = function() return false end, __eq = function() return true end, __concat = function(a, b) return "cat" end, __unm = function() return "unm" end})
 show(t.foo, t[1], t(1, 2), t + 1, 1 + t, t .. "x", "x" .. t, -t, t < t, t > t, t <= t, t >= t, 1 .. t .. 2) local u = setmetatable({}, getmetatable(t)) show(t == u, t ~= u, not (t == u), t == 1) end

-- A list with NaNs has no order, but sorting it ends and loses nothing.
local list = {}
for i = 1, 200 do list[i] = i % 7 == 0 and 0 / 0 or i * 7919 % 100 end
pcall(table.sort, list)
local nans = 0
for _, v in ipairs(list) do nans = nans + (v ~= v and 1 or 0) end
print(#list, nans)
-- What reports on the compiler has nothing to report.
for _, name in ipairs { "jit.v", "jit.dump" } do
    local report = require(name)
    print(name, report.on(), report.off(), report.start("x", "file"))
end
