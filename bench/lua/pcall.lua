local function risky(n)
  if n % 10 == 0 then error("tenth") end
  return n
end
local good, bad = 0, 0
for i = 1, 2000000 do
  local ok, value = pcall(risky, i)
  if ok then good = good + 1 else bad = bad + 1 end
end
assert(good == 1800000 and bad == 200000)
