local s = ("x"):rep(3)
local n = #"abc"
return ("%d"):format(n)
