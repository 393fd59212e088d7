local a, b = 1, 2
return function()
  a = b
  a, b = b, a
  a.x = b
end
