-- resty.lrucache: a cache of one worker that forgets what was not used for longest.
--
-- Slots 1..size hold key, value, end and flags; `newer` and `older` link them into a ring through slot 0, the most recently used
-- one first. Slots nobody uses are a chain through `newer` that begins at `free`.
local now, type, setmetatable = ngx.now, type, setmetatable
local new_table, clear = require "table.new", require "table.clear"

local M = { _VERSION = "0.13" }
local meta = { __index = M }

local function reset(self)
    local newer, older, size = self.newer, self.older, self.size
    for i = 1, size do newer[i] = i + 1 end
    newer[size] = 0
    newer[0], older[0], self.free, self.n = 0, 0, 1, 0
end

function M.new(size)
    if size < 1 then return nil, "size too small" end
    local function list() return new_table(size, 1) end
    local self = {
        size = size, slots = {}, keys = list(), values = list(), ends = list(), flags = list(), newer = list(), older = list(),
    }
    reset(self)
    return setmetatable(self, meta)
end

local function unlink(self, slot)
    local newer, older = self.newer, self.older
    local before, after = newer[slot], older[slot]
    older[before], newer[after] = after, before
end

-- As the most recently used one.
local function link(self, slot)
    local newer, older = self.newer, self.older
    local second = older[0]
    newer[slot], older[slot] = 0, second
    older[0], newer[second] = slot, slot
end

function M:get(key)
    local slot = self.slots[key]
    if not slot then return nil end
    if self.older[0] ~= slot then
        unlink(self, slot)
        link(self, slot)
    end
    local ends = self.ends[slot]
    if ends and ends < now() then return nil, self.values[slot], self.flags[slot] end
    return self.values[slot], nil, self.flags[slot]
end

function M:delete(key)
    local slot = self.slots[key]
    if not slot then return false end
    unlink(self, slot)
    self.slots[key], self.keys[slot], self.values[slot] = nil, false, false
    self.newer[slot], self.free, self.n = self.free, slot, self.n - 1
    return true
end

function M:set(key, value, ttl, flags)
    local slots = self.slots
    local slot = slots[key]
    if slot then
        unlink(self, slot)
    elseif self.free ~= 0 then
        slot = self.free
        self.free, self.n = self.newer[slot], self.n + 1
    else
        slot = self.newer[0]
        unlink(self, slot)
        slots[self.keys[slot]] = nil
    end
    link(self, slot)
    slots[key], self.keys[slot], self.values[slot] = slot, key, value
    self.ends[slot] = ttl and now() + ttl or false
    self.flags[slot] = type(flags) == "number" and flags >= 0 and flags or 0
end

function M:count() return self.n end

function M:capacity() return self.size end

-- The most recently used ones first.
function M:get_keys(max, list)
    if not max or max == 0 then max = self.n end
    list = list or new_table(max + 1, 0)
    local older, n = self.older, 0
    local slot = older[0]
    while slot ~= 0 and n < max do
        n = n + 1
        list[n] = self.keys[slot]
        slot = older[slot]
    end
    list[n + 1] = nil
    return list
end

function M:flush_all()
    clear(self.slots)
    for i = 1, self.size do self.keys[i], self.values[i] = false, false end
    reset(self)
end

return M
