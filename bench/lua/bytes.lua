local byte, char, sub = string.byte, string.char, string.sub
local text = ("perilune "):rep(100)
local sum, out = 0, {}
for round = 1, 1500 do
  for i = 1, #text do
    local c = byte(text, i)
    sum = sum + c
    out[i] = c == 32 and sub(text, i, i) or char(c - 32)
  end
end
assert(table.concat(out) == ("PERILUNE "):rep(100) and sum > 0)
