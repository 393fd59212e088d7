local a, b = ...
if a < b then f() end
if a > b then f() end
if a <= 1 then f() end
if not (a >= 1) then f() end
if 1 < a then f() end
if a == nil then f() end
if "x" ~= a then f() end
if a == true or b == 1LL then f() end
local x = a < b
local y = not (a == b)
