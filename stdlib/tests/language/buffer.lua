-- string.buffer: contents, formats, serialization, errors.
local raw = print
local function print(...)
  local t = {...}
  for i = 1, select("#", ...) do t[i] = tostring(t[i]) end
  raw(table.concat(t, "\t"))
end
local B=require"string.buffer"
local function hex(s) return (s:gsub(".",function(c) return string.format("%02x",c:byte()) end)) end
for _,v in ipairs{0,1,-1,1.5,2^31,2^31-1,-2^31,1e300,"",("x"):rep(10),"a",("y"):rep(200),true,false} do print(#tostring(v)<20 and v or "...", hex(B.encode(v)):sub(1,60)) end
print(hex(B.encode(nil)), hex(B.encode({})), hex(B.encode({1,2,3})), hex(B.encode({a=1})), hex(B.encode({1,a=2})), hex(B.encode({[0]=0,1,2})), hex(B.encode({1,nil,3})), hex(B.encode(5LL)), hex(B.encode(-1LL)), hex(B.encode(5ULL)))
print(hex(B.encode({{},{{}}})), hex(B.encode(("z"):rep(8200))):sub(1,20))
local function p(...) print(pcall(...)) end
p(B.encode,print) p(B.encode,newproxy()) p(B.encode, coroutine.create(print)) p(B.decode,"\x13") p(B.decode,"") p(B.decode,"\x00\x00") p(B.decode,"\x09\x01") p(B.decode,"\x09\x02\x21a\x01\x21a\x02") p(B.decode,"\x09\x01\x00\x01") p(B.decode, "\xff")
p(B.decode,"\x09\x01\x07\0\0\0\0\0\0\xf8\x7f\x01")
local t={} t.t=t p(B.encode,t) p(B.encode)
p(B.decode) p(B.decode,1) p(B.new,"x") p(B.new,-1) p(B.new,{dict=1}) p(B.new,0,{dict={1}}) p(B.new,0,{metatable={"a"}}) p(B.new, {dict={"a","a"}})
local b=B.new() b:put("a",1,2.5):putf("%d-%s",3,"q") print(b, #b, tostring(b), b:tostring(), b.."x", "x"..b, b..b)
print(b:get(2), b:get(0), b:get(1,2), b:get(), b:get(), #b)
b:put("hello world") b:skip(6) print(b) b:skip(100) print(#b) b:set("set") print(b:get(1)) b:put("x") print(b)
p(b.put,b,nil) p(b.put,b,{}) p(b.put,b,true) p(b.put,1) p(b.put) p(b.get,b,-1) p(b.get,b,"x") p(b.skip,b) p(b.skip,b,-1) p(b.set,b,{}) p(b.putf,b) p(b.nope) p(function() b:put({}) end) p(function() b:skip() end) p(function() b.put() end)
b:reset() b:put(setmetatable({},{__tostring=function() return "T" end})) print(b)
p(function() b:put(setmetatable({},{__tostring=function() return {} end})) end)
b:reset() b:encode({1,2}) b:encode("x") print(b:decode()[2], b:decode(), #b) p(b.decode,b)
local o={dict={"foo","bar"},metatable={{__index={m=1}}}}
local d=B.new(o) d:encode(setmetatable({foo=1},o.metatable[1])) local s=d:get() print(hex(s)) d:put(s) local r=d:decode() print(r.foo, r.m, getmetatable(r)==o.metatable[1]) d:encode({"foo","bar","baz"}) print(hex(d:get()))
print(getmetatable(b), type(b), b==b) for _,k in ipairs{"new","encode","decode"} do print(k,type(B[k])) end
b:free() print(#b) print(b:reset()==b, b:put()==b)
print(b:get(nil))
d:put("\x0f\x05") p(d.decode,d)
d:reset() d:put("\x0e\x05\x08") p(d.decode,d)
print(#B.encode({[1]=1,[2]=2,[1000]=3}), type(B.decode(B.encode({x={y={z={}}}})).x.y.z))
print(B.decode(B.encode(5LL)), B.decode(B.encode(-5ULL)), type(B.decode(B.encode(0/0))))
local deep={} local c=deep for i=1,97 do c[1]={} c=c[1] end p(function() return #B.encode(deep) end) c[1]={} c=c[1] p(function() return #B.encode(deep) end) c[1]={{}} p(function() return #B.encode(deep) end) c[1]={{{}}} p(function() return #B.encode(deep) end)
print((pcall(B.decode, ("\x0c\x02"):rep(99).."\x08"))) p(B.decode, ("\x0c\x02"):rep(101).."\x08")
p(B.decode,"\xff\xff\xff\xff\xff")
