local count = 0
local function inc(by)
  by = by or 1
  count = count + by
  return function() by = by + count end
end
return inc, function() return count end
