local text = ("The quick brown fox, 42 years old, jumps over 7 lazy dogs; key=value, name=perilune.\n"):rep(50)
local words, swapped, numbers = 0, 0, 0
for round = 1, 200 do
  words = words + select(2, text:gsub("%a+", string.upper))
  swapped = swapped + select(2, text:gsub("(%w+)=(%w+)", "%2=%1"))
  for number in text:gmatch("%d+") do numbers = numbers + tonumber(number) end
end
assert(words == 200 * 50 * 14 and swapped == 200 * 50 * 2 and numbers == 200 * 50 * 49)
