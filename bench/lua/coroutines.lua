local list = {}
for i = 1, 50000 do
  local co = coroutine.create(function(a) local b = coroutine.yield(a) return b end)
  coroutine.resume(co, i)
  list[i] = co
end
local s = 0
for round = 1, 4 do
  for i = 1, 50000 do
    if coroutine.status(list[i]) == "suspended" then
      local _, v = coroutine.resume(list[i], i)
      s = s + v
    end
  end
end
assert(s == 50000 * 50001 / 2)
