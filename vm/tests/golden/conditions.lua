local a, b, c = ...
if a and b or c then f() end
if not (a or b) and c then f() else g() end
if a then f() elseif b then g() else h() end
while a and not b do a = f() end
repeat local d = f() until d or a
while true do if a then break end end
if nil then f() end
if 1 then g() end
