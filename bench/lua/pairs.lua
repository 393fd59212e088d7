local t = {}
for i = 1, 1000 do t["k" .. i] = i end
local s = 0
for _ = 1, 5000 do for k, v in pairs(t) do s = s + v end end
for _ = 1, 5000 do for i, v in ipairs({ 1, 2, 3, 4, 5, 6, 7, 8 }) do s = s + v end end
assert(s == 5000 * 500500 + 5000 * 36)
