-- resty.lock: locks that all workers see, entries of a shared dictionary. Whoever finds one taken sleeps in growing steps.
--
-- A lock that was forgotten is let go when its object is collected: `held` has a finalizer, and knows the key.
local shared, sleep, min, max = ngx.shared, ngx.sleep, math.min, math.max
local setmetatable, getmetatable, newproxy = setmetatable, getmetatable, newproxy

local M = { _VERSION = "0.09" }
local meta = { __index = M }

function M.new(_, name, options)
    local dict = shared[name]
    if not dict then return nil, "dictionary not found" end
    options = options or {}
    local exptime = options.exptime or 30
    local timeout, step = options.timeout, options.step
    if timeout then
        timeout = min(timeout, exptime)
        step = step and min(step, timeout)
    end
    local held = {}
    local guard = newproxy(true)
    getmetatable(guard).__gc = function()
        if held.key ~= nil then dict:delete(held.key) end
    end
    return setmetatable({
        dict = dict, held = held, guard = guard, timeout = timeout or 5, exptime = exptime, step = step or 0.001,
        ratio = options.ratio or 2, max_step = options.max_step or 0.5,
    }, meta)
end

function M:lock(key)
    if not key then return nil, "nil key" end
    local dict, held = self.dict, self.held
    if held.key ~= nil then return nil, "locked" end
    local elapsed, step, left = 0, self.step, self.timeout
    while true do
        local ok, err = dict:add(key, true, self.exptime)
        if ok then
            held.key = key
            return elapsed
        end
        if err ~= "exists" then return nil, err end
        if left <= 0 then return nil, "timeout" end
        sleep(step)
        elapsed, left = elapsed + step, left - step
        step = min(max(0.001, step * self.ratio), max(left, 0), self.max_step)
    end
end

function M:unlock()
    local held = self.held
    local key = held.key
    if key == nil then return nil, "unlocked" end
    held.key = nil
    local ok, err = self.dict:delete(key)
    if not ok then return nil, err end
    return 1
end

function M:expire(time)
    local key = self.held.key
    if key == nil then return nil, "unlocked" end
    local exptime = time or self.exptime
    local ok, err = self.dict:replace(key, true, exptime)
    if not ok then return nil, err end
    return true
end

return M
