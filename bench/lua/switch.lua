local co = coroutine.wrap(function() local i = 0 while true do i = i + 1 coroutine.yield(i) end end)
local s = 0
for i = 1, 5000000 do s = s + co() end
assert(s == 5000000 * 5000001 / 2)
