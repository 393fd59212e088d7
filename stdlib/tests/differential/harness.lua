-- Runs made-up programs and tells what they showed, the same way on both sides: what may differ is written alike.
-- As a program (luajit harness.lua -): programs on stdin, each its length on a line and its bytes; answers on stdout likewise.
local next, type, tostring, setmetatable, getmetatable, pcall = next, type, tostring, setmetatable, getmetatable, pcall
local rawget, rawset, rawequal, loadstring, setfenv, error = rawget, rawset, rawequal, loadstring, setfenv, error
local sort, concat, format, gsub, status = table.sort, table.concat, string.format, string.gsub, coroutine.status
local smeta, dsetmetatable = getmetatable(''), debug.setmetatable
local find, sub, byte = string.find, string.sub, string.byte
local create, resume = coroutine.create, coroutine.resume
local sethook, gcinfo, traceback = debug.sethook, gcinfo, debug.traceback
for _, name in next, { 'string.buffer', 'table.new', 'table.clear' } do require(name) end

local globals = _G

local LONGEST = 4000

local function quote(s)
  if #s > 200 then s = sub(s, 1, 200) .. '...' .. #s end
  return '"' .. gsub(s, '[%c\128-\255\\"]', function(c) return format('\\%d', byte(c)) end) .. '"'
end

local function show(v, depth)
  local kind = type(v)
  if kind == 'number' then return format('%.14g', v) end
  if kind == 'string' then return quote(v) end
  if kind == 'thread' then return 'thread ' .. status(v) end
  if kind == 'table' then
    if v == globals or rawget(v, 'section') ~= nil then return 'globals' end
    if depth == 0 then return '{...}' end
    local parts, n = {}, 0
    for k, x in next, v do
      n = n + 1
      parts[n] = show(k, depth - 1) .. '=' .. show(x, depth - 1)
      if n > 100 then break end
    end
    sort(parts)
    return '{' .. concat(parts, ', ') .. '}'
  end
  if kind == 'function' or kind == 'userdata' then return kind end
  return tostring(v)
end

-- A library that a program may do to what it likes.
local function copy(t)
  local new = {}
  for k, v in next, t do new[k] = v end
  return new
end

local base = {}
for _, name in next, {
  'assert', 'collectgarbage', 'error', 'gcinfo', 'getfenv', 'getmetatable', 'ipairs', 'load', 'loadstring', 'newproxy', 'next', 'pairs',
  'pcall', 'rawequal', 'rawget', 'rawset', 'select', 'setfenv', 'setmetatable', 'tonumber', 'tostring', 'type', 'unpack', 'xpcall', 'require',
} do
  base[name] = _G[name]
end

-- What nothing names in the call, LuaJIT writes as a number and an address.
local natives = {}
for _, library in next, { _G, string, table, math, bit, coroutine, debug } do
  for name, f in next, library do
    local id = type(f) == 'function' and string.match(tostring(f), 'builtin#(%d+)')
    if id then natives[id] = name end
  end
end
local function named(id) return "[C]: in function '" .. (natives[id] or id) .. "'" end

-- debug.traceback, without this level and with names
local function traced(...)
  local first, level = ...
  local text
  if select('#', ...) == 0 then
    text = sub(traceback('', 2), 2)
  elseif type(first) == 'thread' or level ~= nil and type(level) ~= 'number' then
    text = traceback(...)
  else
    text = traceback(first, (level or 1) + 1)
  end
  if type(text) == 'string' then text = gsub(text, '%[builtin#(%d+)%]: at 0x%x+', named) end
  return text
end

local function run(source)
  local lines, length, ticks = {}, 0, 0
  local env = copy(base)
  env._G = env
  for _, name in next, { 'string', 'table', 'math', 'bit', 'coroutine', 'debug', 'os', 'io' } do env[name] = copy(_G[name]) end
  env.debug.traceback = traced
  local function put(line)
    if length < LONGEST then
      lines[#lines + 1] = line
      length = length + #line
    end
  end
  -- shows its arguments
  function env.out(...)
    local parts = {}
    for i = 1, select('#', ...) do parts[i] = show((select(i, ...)), 3) end
    put(concat(parts, ' '))
  end
  -- without addresses
  function env.tostring(...)
    local s = tostring(...)
    if type(s) == 'string' and find(s, ': ', 1, true) then s = gsub(gsub(gsub(s, 'builtin#%d+', 'ADDRESS'), 'builtin: 0x%x+', 'ADDRESS'), '0x%x+', 'ADDRESS') end
    return s
  end
  -- counts calls, so that every program ends
  function env.tick()
    ticks = ticks + 1
    if ticks > 300 then error('ticks', 0) end
  end
  -- a part of the program of its own
  function env.section(n, f)
    ticks = 0
    put('-- ' .. n)
    local ok, e = pcall(f)
    if not ok then put('error ' .. show(e, 3)) end
    if debug.getmetatable('') ~= smeta then dsetmetatable('', smeta) end
    for _, v in next, { 1, true, print } do dsetmetatable(v, nil) end
    dsetmetatable(nil, nil)
  end
  -- pairs in an order
  function env.spairs(t)
    local keys = {}
    for k in next, t do keys[#keys + 1] = k end
    sort(keys, function(a, b)
      local x, y = type(a), type(b)
      if x ~= y then return x < y end
      if x == 'number' or x == 'string' then return a < b end
      return false
    end)
    local i = 0
    return function()
      i = i + 1
      local k = keys[i]
      if k ~= nil then return k, t[k] end
    end
  end
  -- no longer than it should be
  function env.cut(s)
    if type(s) == 'string' and #s > 40 then return sub(s, 1, 40) end
    return s
  end
  -- never nil
  function env.N(v)
    if v == nil then return 0 end
    return v
  end
  local f, e = loadstring(source, '=p')
  if not f then return 'no program: ' .. e end
  setfenv(f, env)
  local killed, turns = false, 0
  sethook(function()
    turns = turns + 1
    if turns > 200 or gcinfo() > 200000 then
      killed = true
      error('killed', 0)
    end
  end, '', 1000)
  -- (in a coroutine, where a traceback ends with the program)
  local ok, failure = resume(create(f))
  sethook()
  if killed then return 'killed' end
  if not ok then put('error ' .. show(failure, 3)) end
  local text = concat(lines, '\n')
  text = gsub(text, 'builtin#%d+', 'builtin: ADDRESS')
  text = gsub(text, '0x%x%x%x%x%x+', 'ADDRESS')
  return text
end

if ... ~= '-' then return run end
while true do
  local n = tonumber(io.read('*l') or nil)
  if not n then break end
  local answer = run(io.read(n))
  io.write(#answer, '\n', answer)
  io.flush()
end
