-- resty.worker.events: events that every worker handles, in the order in which they were posted.
--
-- What is posted goes as JSON to the queue of each worker that was configured with the same dictionary, and wakes it. The events
-- of one worker are handled one after the other by whoever polls: a running timer, unless the interval is 0.
local bus = ...
local json = require("cjson.safe").new()
local log, ERR, WARN, DEBUG = ngx.log, ngx.ERR, ngx.WARN, ngx.DEBUG
local type, ipairs, select, tostring, xpcall, traceback = type, ipairs, select, tostring, xpcall, debug.traceback

local SOURCE, STARTED, STOPPING = "resty-worker-events", "started", "stopping"
local M = { _VERSION = "2.0.1" }
local dict, queue, interval, unique_timeout
local polling = false
local own = {}

-- Who wants an event: `all` of them, those of a source, those of one kind of a source. In each the weak ones are called first.
local function place() return { weak = setmetatable({}, { __mode = "k" }), strong = {}, order = 0 } end
local everything, sources = place(), {}

local function find(source, event, make)
    if not source then return everything end
    local of_source = sources[source]
    if not of_source then
        if not make then return nil end
        of_source = { any = place(), events = {} }
        sources[source] = of_source
    end
    if event == nil then return of_source.any end
    local found = of_source.events[event]
    if not found and make then
        found = place()
        of_source.events[event] = found
    end
    return found
end

local function each_place(callback, source, events, make, f)
    if type(callback) ~= "function" then error("expected function, got: " .. type(callback), 0) end
    if #events == 0 then
        local found = find(source, nil, make)
        return found and f(found)
    end
    local any = false
    for _, event in ipairs(events) do
        local found = find(source, event, make)
        any = found and f(found) or any
    end
    return any
end

-- (callback -> its turn)
local function register(kind, callback, source, ...)
    each_place(callback, source, { ... }, true, function(at)
        at.order = at.order + 1
        at[kind][callback] = at[kind][callback] or at.order
        return true
    end)
    return true
end

function M.register(callback, source, ...) return register("strong", callback, source, ...) end

function M.register_weak(callback, source, ...) return register("weak", callback, source, ...) end

function M.unregister(callback, source, ...)
    return each_place(callback, source, { ... }, false, function(at)
        local was = at.weak[callback] or at.strong[callback]
        at.weak[callback], at.strong[callback] = nil, nil
        return was ~= nil
    end) or false
end

local function call(at, kind, data, event, source, pid)
    local list = {}
    for callback, turn in pairs(at[kind]) do list[#list + 1] = { callback, turn } end
    table.sort(list, function(a, b) return a[2] < b[2] end)
    for _, entry in ipairs(list) do
        local ok, err = xpcall(entry[1], traceback, data, event, source, pid)
        if not ok then
            local shown = type(data) == "table" and json.encode(data) or tostring(data)
            log(ERR, "worker-events: event callback failed; source=", source, ", event=", event, ", pid=", pid,
                " error='", tostring(err), "', data=", shown)
        end
    end
end

local function handle(source, event, data, pid)
    log(DEBUG, "worker-events: handling event; source=", source, ", event=", event, ", pid=", pid)
    local of_source = sources[source]
    for _, at in ipairs { everything, of_source and of_source.any or false, of_source and of_source.events[event] or false } do
        if at then
            call(at, "weak", data, event, source, pid)
            call(at, "strong", data, event, source, pid)
        end
    end
end

-- Whether this worker is the one to handle an event that only one is to.
local function mine(unique)
    local ok, err = dict:add("events-one:" .. unique, ngx.worker.id() or 0, unique_timeout)
    if not ok and err ~= "exists" then
        log(ERR, "worker-events: cannot determine who handles event ", unique, ", dropping it: ", err)
    end
    return ok
end

function M.poll()
    if not queue then return nil, "not configured" end
    if polling then return "recursive" end
    polling = true
    while true do
        local text
        if #own > 0 then
            local event = table.remove(own, 1)
            handle(event.source, event.event, event.data, nil)
        else
            text = bus.take(queue)
            if not text then break end
            local event, err = json.decode(text)
            if not event then
                log(ERR, "worker-events: failed decoding json event data: ", err)
            elseif event.unique == nil or mine(tostring(event.unique)) then
                handle(event.source, event.event, event.data, event.pid)
            end
        end
    end
    polling = false
    return "done"
end

local function refused(source, event)
    if type(source) ~= "string" or source == "" then return "source is required" end
    if type(event) ~= "string" or event == "" then return "event is required" end
    if not queue then return "not configured" end
end

function M.post(source, event, data, unique)
    local err = refused(source, event)
    if err then return nil, err end
    local text
    text, err = json.encode { source = source, event = event, data = data, unique = unique, pid = ngx.worker.pid() }
    if not text then
        err = 'failed posting event "' .. event .. '" by "' .. source .. '"; ' .. tostring(err)
        log(ERR, "worker-events: ", err)
        return nil, err
    end
    bus.post(dict, text)
    return true
end

-- For this worker only; the data stays as it is.
function M.post_local(source, event, data)
    local err = refused(source, event)
    if err then return nil, err end
    own[#own + 1] = { source = source, event = event, data = data }
    bus.wake(queue)
    return true
end

local function run(premature)
    while not premature and not ngx.worker.exiting() do
        M.poll()
        bus.wait(queue)
    end
    M.post(SOURCE, STOPPING)
    M.poll()
end

local function number(options, name, default, least)
    local value = options[name]
    if value == nil then return default end
    if type(value) ~= "number" then return nil, 'optional "' .. name .. '" option must be a number' end
    if value < 0 or value == 0 and not least then
        return nil, '"' .. name .. '" must be greater than ' .. (least and "or equal to 0" or "0")
    end
    return value
end

function M.configure(options)
    if type(options) ~= "table" then error("Expected a table, got " .. type(options), 0) end
    local shm, err = options.shm
    if shm and dict then return nil, "Already started, cannot change shm" end
    if not shm and not dict then return nil, '"shm" option required to start' end
    local found = dict or ngx.shared[shm]
    if not found then return nil, 'shm "' .. tostring(shm) .. '" not found' end
    local timeout, every
    timeout, err = number(options, options.unique_timeout ~= nil and "unique_timeout" or "timeout", unique_timeout or 2)
    if not timeout then return nil, err end
    every, err = number(options, "interval", interval or 1, true)
    if not every then return nil, err end
    for _, name in ipairs { "wait_interval", "wait_max", "shm_retries" } do
        local ok
        ok, err = number(options, name, 0, true)
        if not ok then return nil, err end
    end
    local first = not queue
    local had_timer = not first and interval ~= 0
    dict, unique_timeout, interval = found, timeout, every
    if first then
        queue = bus.join(dict)
        M.post(SOURCE, STARTED)
    end
    if interval ~= 0 and not had_timer then bus.start(run) end
    return true
end

function M.configured() return queue ~= nil end

-- The names of events, which may not be misspelt: list.other raises an error.
function M.event_list(source, ...)
    local events = { _source = source }
    for _, name in ipairs { ... } do events[name] = source .. ":" .. name end
    return setmetatable(events, {
        __index = function(_, name) error("event '" .. tostring(name) .. "' is an unknown event", 2) end,
    })
end

M.events = M.event_list(SOURCE)
rawset(M.events, STARTED, STARTED)
rawset(M.events, STOPPING, STOPPING)

return M
