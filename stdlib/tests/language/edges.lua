-- Edges that made-up programs found: each line is what LuaJIT says.
local function p(...) print(pcall(...)) end
p(coroutine.wrap(function() local c = coroutine.running() print(coroutine.resume(c)) coroutine.wrap(function() print(coroutine.resume(c)) end)() end))
p(coroutine.status, nil) p(coroutine.resume) p(coroutine.create) p(coroutine.wrap, 1)
p(os.time, {}) p(os.time, { day = 1 }) p(os.time, { day = 'x' }) p(os.time, { day = 1, month = 1, hour = 'x' })
p(bit.ror) p(bit.ror, 1) p(bit.lshift, nil, 2) p(bit.tohex, 1, {}) p(bit.tohex, 1, nil) p(bit.tohex, 255, 20) p(bit.tohex, 255, -1e10) p(bit.bor, 255, 1e16, 1e9)
p(error, 100) print(type(select(2, pcall(error, 100))), type(select(2, pcall(error, 100, 0)))) p(function() error(100) end) p(function() error(1e14, 1e300) end)
p(debug.getinfo) p(debug.getinfo, nil) p(debug.getinfo, 'x')
p(xpcall, print) p(xpcall) p(xpcall, nil, function() return 'handled' end) p(xpcall, print, 1) p(xpcall, print, setmetatable({}, { __call = print }))
p(setfenv, nil, {}) p(setfenv, 1) p(setfenv, true, {}) print(debug.getfenv(nil), debug.getfenv(1))
p(debug.traceback, nil) p(debug.traceback, coroutine.create(print), nil, 1) print((debug.traceback('a\0b'):gsub('\n.*', '')))
p(debug.setupvalue) p(debug.setupvalue, print, 1) p(debug.setupvalue, 1, 1, 1)
p(function() assert(false, 'm') end) p(function() assert(false) end) p(function() assert(nil, 5) end) p(assert, false, 'm') p(function() assert(false, 'a\0b') end)
print(tonumber('+7', 8), tonumber('-7', 8), tonumber('zzzzzzzzzzzzzzzzzzz', 36), tonumber('-ffffffffffffffff', 16))
print(select('#', table.remove({})), select('#', table.remove({}, 1)), select('#', table.remove({}, nil)), select('#', table.remove({ 1 }, 5)))
print(math.max(0/0, 1), math.max(1, 0/0), math.min(0/0, 1), math.min(1, 0/0), math.max(0, -0), math.max(-0, 0), math.min(0, -0), math.min(-0, 0))
p(string.format, '%q', nil) p(string.format, '%q') p(string.format, '%q', 1.5) p(string.format, '%10q', 'x') p(string.format, '%p', 1)
p(rawset, {}, nil, 1) p(function() rawset({}, 0/0, 1) end) p(function() local t = {} t[nil] = 1 end)
p(string.gsub, 'x', 'x') p(string.gsub, 'x', 'x', true) p(string.gsub, 'aaa', 'a', 'b', 1/0) print(('%q'):format((('x'):gsub('x', 'a%'))))
for _, f in ipairs { '%100d', '%.100f', '%-100d', '%y', '%', '%5', '%-+ #00d', '%--d', '%1.2.3d', '%.d', '%l', '%123s', '%0 5d', '%.3c', '%5%' } do p(string.format, f, 65) end
for _, v in ipairs { 1/0, 0/0, 1e300, 2^63, -2^63, 2^64 - 2048, -1.5 } do print(('%d %i %u %x'):format(v, v, v, v)) end
p(select, -5) p(select, 0) p(select, -1) p(select, '#x', 1) p(select, 1e300, 1) p(select, 0/0, 1)
p(os.difftime, {}, {}) print(os.difftime(2.5, 1), os.difftime(-0.5, 0.5))
p(function() table.sort({ 1, 'x' }) end) p(table.sort, { {}, {} })
p(string.rep, 'x', 1/0) print(('hello'):sub(1, math.huge), ('hello'):sub(-math.huge), ('hello'):find('l', -1/0)) p(unpack, { 1, 2 }, 1, 1/0) p(table.concat, { 1, 2 }, ',', 1/0, 1)
p(table.getn) p(table.foreachi) p(table.foreach, {}) p(math.log, 1, nil)
for _, v in ipairs { 0.5, 2.5, 9.5, 99.5, 0.125, 0.375, 1492112969443287.25, 99.95, 985, -99.5, 0.1 } do print(('%.0f %.1f %.2f %.0e %.1e %.1g %.2g %.17g %#.2g'):format(v, v, v, v, v, v, v, v, v)) end
print(999999999999745, 99999999999998.5, 9999999999999.25, 123456789012325, 99999999999999.5)
for _, v in ipairs { 5e-324, 1e-310, 1.03125, 1.96875 } do print(('%a %.0a %.1a %.15a'):format(v, v, v, v)) end
for _, b in ipairs { 2, 10, 3.14159, 0.5 } do print(('%.17g %.17g'):format(math.log(5e-324, b), math.log(3.7, b))) end
local b = require('string.buffer').new() p(b.put, b, b)
local function g() return debug.traceback('x') .. '' end
local function f() return g() end
local function h() local s = f() return s end
print((h():gsub('\n[^\n]*main chunk.*', '')))
local function deep(n, f) if n == 0 then return (f()) end local r = deep(n - 1, f) return r end
for _, n in ipairs { 3, 8, 9, 10, 11, 12, 13, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 30, 40 } do
  local co = coroutine.create(function() return deep(n, function() print(n, select(2, debug.traceback('x'):gsub('\n', '\n')), debug.traceback('x', 0):gsub('0x%x+', '')) coroutine.yield() end) end)
  coroutine.resume(co) print(n, debug.traceback(co)) print(n, debug.traceback(co, 'm', 3))
end
local t = setmetatable({}, { __add = debug.traceback, __index = function() return debug.traceback('i') end, __concat = function() return (debug.traceback('c')) end })
print((coroutine.wrap(function() return (t.x) end)())) print((coroutine.wrap(function() return t .. '' end)())) print((coroutine.wrap(function() local m = setmetatable({}, {__mul = function() return (debug.traceback('m')) end}) local r = m * 2 return r end)()))
print(({ [-0] = 1 })[0], next({ [-0] = 1 })) local z = {} z[-0] = 5 print(next(z)) z = {} rawset(z, -0, 1) print(next(z))
print(math.max(1, 0/0, 1), math.min(1, 0/0, 2), math.max(0/0, 0/0, 3), math.min(5, 0/0), math.max(1, 2, 0/0), math.min(0/0, 1, 0), math.max(1e308, 0/0, 1))
for _, s in ipairs{'a', ' a', 'a ', '\ta\n', 'a\0', 'a b', '\va', 'a\f', '0xa', '+0xa', '-0xA', '+-a', 'a\r', '\0', '\rz', ' \t\n\v\f\r1 \t\n\v\f\r'} do print(tonumber(s, 16), tonumber(s, 10), tonumber(s), tonumber(s, 36)) end
do local buffer = require('string.buffer') local v = buffer.decode('\x04\x1f\x19#\xff') print(v, buffer.decode(buffer.encode(v)) == v) end
print(xpcall(error, function(e) load(function() error('in reader') end) return e end, 'outer'))
print(xpcall(error, print, 'a'), xpcall(error, function(e) return e end, 'b'))
for _, e in ipairs { 0, 1, -1, 2.9, -2.9, 1/0, -1/0, 0/0, 5000, -5000, 1e300 } do print(e, math.ldexp(0, e), math.ldexp(1.5, e), math.ldexp(-3, e), math.ldexp(1/0, e), math.ldexp(-1/0, e), math.ldexp(0/0, e)) end
for _, n in ipairs { 0, 1, -1, 1e14, 1e16, 2^31, 2^32, 2^32 + 1, -2^32 + 2, 1.9 } do print(n, ('inf'):gsub('.', '<%0>', n)) end
print(pcall(setfenv, 0/0, {}), pcall(getfenv, 0/0), pcall(getfenv, 2^40))
local it = ipairs({})
print(select('#', it({}, 0)), select('#', it({1}, 0)), select('#', it({1,nil,2}, 1)), select('#', it(setmetatable({}, {__index=function() end}), 0)), select('#', next({})), select('#', next({1},1)))
