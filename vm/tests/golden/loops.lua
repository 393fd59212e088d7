for i = 1, 10 do f(i) end
for i = a, b, -1 do local x = i end
for k in next, t do f(k) end
for k, v, w in f() do if v then break end end
while x < 10 do x = x + 1 end
repeat x = x - 1 until x == 0
