-- A table's weak mode is changed and taken away at every moment of a collection.
local mode = { __mode = 'v' }
local keep = {}
local function entries(t)
  for j = 1, 3 do
    for _, key in ipairs({ j, 'x' .. j }) do
      local v = t[key]
      assert(v == nil or v[1] == j and type(v[2]) == 'table')
    end
  end
  for k, v in pairs(t) do assert(type(k) ~= 'table' or #k == 1) assert(#v == 2) end
end
for i = 1, 400 do
  mode.__mode = 'v'
  local a, b = setmetatable({}, mode), setmetatable({}, mode)
  keep[i % 10 + 1], keep[i % 7 + 20] = a, b
  for j = 1, 3 do a[j] = { j, {} } b['x' .. j] = { j, {} } a[{ j }] = { j, {} } end
  mode.__mode = nil
  for j = 1, i % 11 do keep[j + 40] = { a, b } end
  entries(a)
  entries(b)
  mode.__mode = 'k'
  for j = 1, i % 5 do keep[j + 40] = { b, a } end
  entries(a)
  setmetatable(a, nil)
  setmetatable(b, { __mode = 'kv' })
  for j = 1, i % 3 do keep[j + 40] = { b, a } end
  entries(a)
  entries(b)
end
