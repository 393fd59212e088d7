-- A writer and a reader of JSON in plain Lua: what string-heavy libraries look like.
local function write(v, out)
  local kind = type(v)
  if kind == "table" then
    if v[1] ~= nil then
      out[#out + 1] = "["
      for i = 1, #v do
        if i > 1 then out[#out + 1] = "," end
        write(v[i], out)
      end
      out[#out + 1] = "]"
    else
      out[#out + 1] = "{"
      local first = true
      for k, x in pairs(v) do
        if not first then out[#out + 1] = "," end
        first = false
        out[#out + 1] = '"' .. k .. '":'
        write(x, out)
      end
      out[#out + 1] = "}"
    end
  elseif kind == "string" then
    out[#out + 1] = '"' .. v:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
  else
    out[#out + 1] = tostring(v)
  end
end
local read
local function skip(s, at) return s:find("%S", at) end
local function items(s, at, close, one)
  at = skip(s, at)
  if s:sub(at, at) == close then return at + 1 end
  while true do
    at = skip(s, one(at))
    local c = s:sub(at, at)
    at = at + 1
    if c == close then return at end
  end
end
function read(s, at)
  at = skip(s, at)
  local c = s:sub(at, at)
  if c == "{" then
    local t = {}
    return t, items(s, at + 1, "}", function(from)
      local key, after = s:match('"([^"]*)"%s*:()', from)
      t[key], after = read(s, after)
      return after
    end)
  elseif c == "[" then
    local t, n = {}, 0
    return t, items(s, at + 1, "]", function(from)
      local after
      n = n + 1
      t[n], after = read(s, from)
      return after
    end)
  elseif c == '"' then
    local text, after = s:match('"([^"]*)"()', at)
    return text, after
  end
  local word, after = s:match("([%w.+-]+)()", at)
  if word == "true" then return true, after end
  return tonumber(word), after
end
local doc = { users = {}, total = 50, ok = true }
for i = 1, 50 do doc.users[i] = { id = i, name = "user " .. i, tags = { "a", "b", "c" }, score = i / 4 } end
local bytes = 0
for round = 1, 400 do
  local out = {}
  write(doc, out)
  local text = table.concat(out)
  local back = read(text, 1)
  assert(#back.users == 50 and back.users[7].name == "user 7")
  bytes = bytes + #text
end
assert(bytes > 400 * 2000)
