local i = 1
::top::
if i > 3 then goto done end
do
  i = i + 1
  goto top
end
::done::
for j = 1, 2 do
  if j == i then goto continue end
  f(j)
  ::continue::
end
