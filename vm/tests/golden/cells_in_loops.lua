local fs = {}
for i = 1, 3 do fs[i] = function() i = i + 1 return i end end
for k, v in pairs(fs) do fs[k] = function() k = v end end
while x do
  local n
  fs[1] = function() n = 1 end
end
