local line = ("x"):rep(200) .. "GET /index.html HTTP/1.1"
local n = 0
for i = 1, 300000 do
  n = n + line:find("GET ", 1, true)
  local method, path = line:match("(%u+) (/%S*)", 190)
  n = n + #method + #path
end
assert(n == 300000 * (201 + 3 + 11))
