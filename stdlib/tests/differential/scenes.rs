//! Lua programs out of numbers: scenes that need several statements to be played.
use crate::generate::{Generator, Kind};
use crate::library::METAMETHODS;

impl Generator {
    /// A class with metamethods, an object of it, and what is done to it.
    pub fn class(&mut self) {
        self.labels += 1;
        let name = format!("o{}", self.labels);
        let class = format!("M{}", self.dice.roll(3));
        self.line(&format!("local {class} = {{}}"));
        let mut used = Vec::new();
        for _ in 0..2 + self.dice.roll(5) {
            let event = METAMETHODS[self.dice.roll(METAMETHODS.len())];
            if used.contains(&event) || event == "__len" {
                continue;
            }
            used.push(event);
            self.seen(event);
            let value = self.expression(Kind::Any, 2);
            let text = match event {
                "__index" => match self.dice.roll(4) {
                    0 => "{ x = 'inherited', y = 7 }".to_string(),
                    1 => class.clone(),
                    2 => "setmetatable({}, { __index = function(t, k) return k end })".to_string(),
                    _ => format!("function(t, k) tick() out('index', k) return {value} end"),
                },
                "__newindex" => match self.dice.roll(3) {
                    0 => "{}".to_string(),
                    1 => "function(t, k, v) tick() rawset(t, k, v) end".to_string(),
                    _ => "function(t, k, v) tick() out('newindex', k, v) end".to_string(),
                },
                "__call" => format!("function(self, ...) tick() out('call', ...) return {value}, ... end"),
                "__tostring" => self
                    .dice
                    .one(&[
                        "function() return 'an object' end",
                        "function(o) return 'v' .. tostring(rawget(o, 'v')) end",
                        "function() return 1 end",
                        "function() error('tostring') end",
                    ])
                    .to_string(),
                "__metatable" => self.dice.one(&["'locked'", "false", "{}"]).to_string(),
                "__mode" => "'k'".to_string(),
                "__eq" | "__lt" | "__le" => format!(
                    "function(a, b) tick() out('{event}') return rawget(a, 'v') {} rawget(b, 'v') end",
                    match event {
                        "__eq" => "==",
                        "__lt" => "<",
                        _ => "<=",
                    }
                ),
                _ if self.dice.once_in(3) => {
                    format!("function(a, b) tick() out('{event}', type(a), type(b)) return a end")
                }
                _ => format!("function(a, b) tick() out('{event}', type(a), type(b)) return {value} end"),
            };
            self.line(&format!("{class}.{event} = {text}"));
        }
        let (a, b) = (self.dice.roll(3), self.dice.roll(3));
        self.line(&format!(
            "local {name} = setmetatable({{ v = {a} }}, {class}) local other = setmetatable({{ v = {b} }}, {class})"
        ));
        self.declare(&name, Kind::Obj);
        for event in used {
            let value = self.expression(Kind::Num, 1);
            let text = match event {
                "__add" => format!("{name} + ({value}), ({value}) + {name}"),
                "__sub" => format!("{name} - ({value}), {name} - other"),
                "__mul" => format!("({value}) * {name}"),
                "__div" => format!("{name} / other"),
                "__mod" => format!("{name} % ({value})"),
                "__pow" => format!("{name} ^ 2, 2 ^ {name}"),
                "__unm" => format!("-{name}"),
                "__concat" => {
                    format!("{name} .. 'x', 'x' .. {name}, 1 .. {name} .. other, 'a' .. 'b' .. {name} .. 'c'")
                }
                "__eq" => format!("{name} == other, {name} ~= other, {name} == {name}, {name} == 1"),
                "__lt" => format!("{name} < other, {name} > other"),
                "__le" => format!("{name} <= other, {name} >= other"),
                "__index" => format!("{name}.x, {name}[1], {name}.v, {name}[true], rawget({name}, 'x')"),
                "__newindex" => format!(
                    "pcall(function() {name}.fresh = 1 {name}.v = 5 {name}[1] = 2 return rawget({name}, 'fresh') end)"
                ),
                "__call" => format!("{name}(), {name}(1, 2), pcall({name}, 3)"),
                "__tostring" => format!("pcall(tostring, {name})"),
                "__metatable" => format!("getmetatable({name}), pcall(setmetatable, {name}, {{}})"),
                _ => format!("pcall(next, {name}, nil)"),
            };
            self.line(&format!("out({text})"));
        }
        if self.dice.once_in(2) {
            let op = self.dice.one(&["+", "-", "*", "/", "%", "^", ".."]);
            self.line(&format!("out(pcall(function() return {name} {op} other end))"));
            self.line(&format!("out(pcall(function() return -{name} end))"));
        }
    }

    /// Errors, raised and caught.
    pub fn failing(&mut self) {
        let value = self.expression(Kind::Any, 2);
        match self.dice.roll(9) {
            0 => {
                self.seen("error string");
                self.line("out(pcall(error, 'plain')) out(pcall(function() error('positioned') end))");
            }
            1 => {
                self.seen("error level");
                let level = self.dice.roll(4);
                self.line(&format!("local function fail(x) error('at ' .. tostring(x), {level}) end"));
                self.line("out(pcall(function() fail(1) end))");
            }
            2 => {
                self.seen("error table");
                self.line(&format!("out(pcall(function() error({{ code = N({value}) }}) end))"));
            }
            3 => {
                self.seen("error nil");
                self.line("out(pcall(error)) out(pcall(function() error(nil) end)) out(pcall(error, nil, 2))");
            }
            4 => {
                self.seen("pcall");
                self.line("out(pcall(function(...)");
                self.function_body(&[], true, 2);
                self.line("end, 1, 2))");
            }
            5 => {
                self.seen("xpcall handler");
                self.line("out(xpcall(function()");
                self.function_body(&[], false, 2);
                self.line("end, function(e) return 'handled ' .. tostring(e) end))");
            }
            6 => {
                self.seen("xpcall arguments");
                self.line(&format!("out(xpcall(function(a, ...) return select('#', ...), a + 1 end, function(e) out(e) return {value} end, 5, nil, nil))"));
                self.line("out(xpcall(function(a) return a.x.y end, debug.traceback ~= nil and function(e) return e end, {}))");
            }
            7 => {
                self.seen("assert");
                self.line(&format!(
                    "out(pcall(assert, {value}, 'message')) out(pcall(assert, false)) out(pcall(assert, nil, {{}}))"
                ));
            }
            _ => {
                self.seen("nested pcall");
                self.line("out(pcall(pcall, pcall, function()");
                self.function_body(&[], false, 1);
                self.line("end)) out(pcall(pcall)) out(pcall(pcall, error, 'e'))");
            }
        }
    }

    /// A coroutine in one of its states.
    pub fn coroutine(&mut self) {
        let (a, b) = (self.expression(Kind::Any, 1), self.expression(Kind::Any, 1));
        match self.dice.roll(11) {
            0 | 1 => {
                for state in ["coroutine suspended", "coroutine running", "coroutine dead"] {
                    self.seen(state);
                }
                self.line("do local co co = coroutine.create(function(p, ...)");
                self.line("out(coroutine.status(co), p, select('#', ...))");
                self.function_body(&[("p", Kind::Any)], true, 1);
                self.line("end)");
                self.line(&format!("out(coroutine.status(co)) out(coroutine.resume(co, {a}, {b})) out(coroutine.status(co)) out(coroutine.resume(co)) end"));
            }
            2 => {
                self.seen("coroutine normal");
                self.line("do local outer outer = coroutine.create(function() local inner = coroutine.create(function() out(coroutine.status(outer)) out(coroutine.resume(outer)) coroutine.yield(1) end)");
                self.line("out(coroutine.resume(inner)) out(coroutine.status(inner)) out(coroutine.resume(inner)) out(coroutine.status(inner)) end) out(coroutine.resume(outer)) end");
            }
            3 => {
                self.seen("coroutine failed");
                self.line(&format!("do local co = coroutine.create(function() local z = {a} error({b}) end)"));
                self.line("out(coroutine.resume(co)) out(coroutine.status(co)) out(coroutine.resume(co)) end");
            }
            4 => {
                self.seen("wrap");
                self.line(&format!("do local w = coroutine.wrap(function(...) local got = coroutine.yield(...) out(got) got = coroutine.yield({a}) return got, {b} end)"));
                self.line("out(w(1, 2)) out(w(3)) out(w(4)) out(pcall(w)) end");
            }
            5 => {
                self.seen("wrap error");
                self.line("do local w = coroutine.wrap(function()");
                self.function_body(&[], false, 1);
                self.line("end)");
                self.line("out(pcall(w)) out(pcall(w)) local v = coroutine.wrap(function() error('in wrap') end) out(pcall(v)) v = coroutine.wrap(function() error({}) end) out(pcall(v)) end");
            }
            6 => {
                self.seen("yield in pcall");
                self.line(&format!("do local w = coroutine.wrap(function() out(pcall(function() local x = coroutine.yield({a}) out(x) error('after') end)) out(xpcall(function() return coroutine.yield(2) end, print)) return {b} end)"));
                self.line("out(w()) out(w('sent')) out(w('back')) end");
            }
            7 => {
                self.seen("yield in iterator");
                self.line("do local w = coroutine.wrap(function() for i in function(_, c) c = (c or 0) + 1 if c < 4 then return coroutine.yield(c) and c end end do out(i) end return 'end' end)");
                self.line("out(w()) out(w(true)) out(w(true)) out(w(false)) end");
            }
            8 => {
                self.seen("yield in metamethod");
                let (event, use_) = [
                    ("__add", "o + 1"),
                    ("__index", "o.x"),
                    ("__call", "o(1)"),
                    ("__lt", "o < o"),
                    ("__unm", "-o"),
                    ("__concat", "o .. 'x'"),
                    ("__eq", "o == setmetatable({}, getmetatable(o))"),
                    ("__le", "o <= o"),
                    ("__newindex", "(function() o.x = 1 end)()"),
                ][self.dice.roll(9)];
                self.line(&format!("do local o = setmetatable({{}}, {{ {event} = function(p, q) return coroutine.yield(type(p), type(q)) end }})"));
                self.line(&format!("local w = coroutine.wrap(function() return {use_} end) out(w()) out(w({a})) end"));
            }
            9 => {
                self.seen("resume itself");
                self.seen("yield outside");
                self.line("do local co co = coroutine.create(function() return coroutine.resume(co) end) out(coroutine.resume(co)) out(pcall(coroutine.resume, nil)) out(pcall(coroutine.create, 1)) out(pcall(coroutine.status, {})) end");
            }
            _ => {
                self.seen("coroutine in coroutine");
                self.line(&format!("do local function gen(n) return coroutine.wrap(function() for i = 1, n do if i > 1 then for v in gen(i - 1) do coroutine.yield(v * 10) end end coroutine.yield(i) end end) end local sum = 0 for v in gen(3) do sum = sum * 2 + v end out(sum, {a}) end"));
            }
        }
    }

    /// What the rest does not reach.
    pub fn special(&mut self) {
        let a = self.expression(Kind::Any, 1);
        match self.dice.roll(20) {
            0 => {
                self.seen("getinfo");
                self.line("do local function f() local i = debug.getinfo(1, 'nSl') return i.name, i.namewhat, i.what, i.short_src, i.source, i.linedefined, i.lastlinedefined, i.currentline end out(f()) local t = { m = f } out(t.m()) out(t:m()) out((f())) out(pcall(f))");
                self.line("local i = debug.getinfo(f, 'uSL') out(i.nups, i.what, i.linedefined, i.activelines) i = debug.getinfo(print) out(i.what, i.short_src, i.currentline, i.nups) out(debug.getinfo(5000)) out(pcall(debug.getinfo, 1, 'X')) end");
            }
            1 => {
                // (a level that no recursion reaches: a frame's temporaries are each machine's own)
                self.seen("getlocal");
                self.line(&format!("do local function f(p, ...) local q = {a} do local hidden = 1 end local n = 1 local all = {{}} while true do local k, v = debug.getlocal(1, n) if not k or k:sub(1, 1) == '(' then break end all[#all + 1] = k if k ~= 'all' then all[#all + 1] = N(v) end n = n + 1 end return all end out(f(1, 2)) out(pcall(debug.getlocal, 5000, 1)) end"));
            }
            2 => {
                self.seen("setlocal");
                self.line("do local function f(p) local q = 2 out(debug.setlocal(1, 1, 'p'), debug.setlocal(1, 2, 'q'), debug.setlocal(1, 30, 'r')) return p, q end out(f(1)) end");
            }
            3 => {
                self.seen("upvalueid");
                self.line("do local x, y = 1, 2 local function f() return x, y end local function g() x = x + 1 y = y + 1 return y end out(debug.upvalueid(f, 1) == debug.upvalueid(g, 1), debug.upvalueid(f, 1) == debug.upvalueid(f, 2)) out(debug.getupvalue(f, 1)) out(debug.getupvalue(f, 2)) out(debug.getupvalue(f, 3)) out(debug.setupvalue(f, 1, 'new')) out(f()) out(x) end");
            }
            4 => {
                self.seen("traceback in coroutine");
                self.line("do local co = coroutine.create(function() local function deep(n) if n == 0 then coroutine.yield() end deep(n - 1) end deep(2) end) coroutine.resume(co) out(debug.traceback(co)) out(debug.traceback(co, 'msg')) out(debug.traceback(co, nil, 1)) out(debug.traceback(co, {}) ~= nil)");
                self.line("co = coroutine.create(function() local t = {} function t.field() error('x') end function t:method() t.field() end t:method() end) coroutine.resume(co) out(debug.traceback(co)) end");
            }
            5 if self.dice.once_in(8) => {
                self.seen("io file");
                let format =
                    self.dice.one(&["'*l'", "'*n'", "'*a'", "5", "0", "'*L'", "'x'", "'*n', '*l'", "'*l', '*l', '*l'"]);
                self.line(&format!("do local f = io.tmpfile() out(f:write('12 abc\\n', 3.5, '\\n0x10 end') ~= nil, f:seek('set', 0)) out(pcall(f.read, f, {format})) out(f:seek()) out(pcall(f.read, f, '*n')) out(f:seek('end')) f:seek('set') for l in f:lines() do out(l) end out(io.type(f), f:close(), io.type(f)) out(pcall(f.read, f)) end"));
            }
            6 => {
                self.seen("buffer");
                let (s, n) = (self.expression(Kind::Str, 1), self.dice.roll(9));
                self.line(&format!("do local buf = require('string.buffer').new() buf:put({s}, 1, 'x') out(#buf, tostring(buf)) buf:skip({n}) out(buf:get(2), #buf) buf:putf('%d-%s', {n}, 'y') out(buf:tostring()) buf:set('abc') out(buf .. 'd', buf:get()) buf:reset() out(#buf, buf:get(5)) end"));
            }
            7 => {
                // (no NaN: its sign is the processor's whim, and only here does it show)
                self.seen("buffer encode");
                let (x, y, end) = (self.expression(Kind::Num, 1), self.expression(Kind::Str, 1), self.dice.roll(20));
                self.line(&format!("do local p, q = {x}, {y} if p ~= p or type(p) == 'table' then p = 0 end if q ~= q or type(q) == 'table' then q = 'none' end local buf = require('string.buffer') local text = buf.encode({{ p, q, true, {{ k = false }} }}) out(buf.decode(text)) out(buf.encode(p)) out(buf.encode(q)) out(pcall(buf.decode, text:sub(1, {end}))) out(pcall(buf.encode, print)) end"));
            }
            8 => {
                self.seen("table.new");
                self.seen("table.clear");
                self.line("do local t = require('table.new')(4, 4) t[1] = 'a' t.x = 1 out(t, #t) require('table.clear')(t) out(t, next(t)) end");
            }
            9 => {
                self.seen("setfenv");
                self.line(&format!("do local function f() return x, y end out(f()) setfenv(f, {{ x = N({a}) }}) out(f()) out(getfenv(f).y) out(pcall(setfenv, print, {{}})) out(pcall(setfenv, 1)) setfenv(1, setmetatable({{}}, {{ __index = getfenv(1) }})) x = 5 out(x, rawget(getfenv(1), 'x')) end"));
            }
            10 => {
                self.seen("getfenv level");
                self.line(
                    "out(getfenv(1) == getfenv(2), pcall(getfenv, 100), pcall(getfenv, -1), pcall(getfenv, 'x'))",
                );
            }
            11 => {
                self.seen("load reader");
                self.line("do local n = 0 out(load(function() n = n + 1 return ({ 'return ', '1 + ', n == 3 and '2' or nil })[n] end)) local f = load('return x', '=chunk', 't', { x = 'own' }) out(f()) out(load('x =', '=chunk')) out(load('x =', 'x =')) out(load('x =', '@file')) out(pcall(load, function() return {} end)) out(load('return 1', 'c', 'b')) end");
            }
            12 => {
                self.seen("os.time");
                self.line("out(os.date('!%H:%M', os.time({ year = 2020, month = 1 + 1, day = 30, hour = 12 }) - os.time({ year = 2020, month = 2, day = 28 }))) out(pcall(os.time, { year = 2020 })) out(pcall(os.time, { year = 'x', month = 1, day = 1 }))");
            }
            13 => {
                self.seen("integers");
                let pick = |g: &mut Self| {
                    g.dice
                        .one(&["1LL", "-7LL", "5ULL", "0x7fffffffffffffffLL", "3", "0LL", "-1LL", "2LL", "1e3"])
                        .to_string()
                };
                let (x, y) = (pick(self), pick(self));
                let op = self.dice.one(&["+", "-", "*", "==", "<", "<=", "~=", "^"]);
                self.line(&format!("out(pcall(function() return {x} {op} {y} end)) out(type({x}), tostring({y}), tonumber({x})) out(pcall(function() return -({x}), ({y}) / 3LL, ({x}) % 4LL end)) out(bit.band({x}, 255), bit.tohex({y}))"));
            }
            14 => {
                self.seen("userdata metamethods");
                self.seen("__len");
                self.line(&format!("do local u = newproxy(true) local m = getmetatable(u) m.__len = function() return {a} end m.__index = {{ x = 1 }} m.__call = function(_, ...) return ... end m.__concat = function(p, q) return type(p) .. type(q) end m.__tostring = function() return 'udata' end m.__unm = function() return 'neg' end m.__lt = function() return 1 end m.__le = function() return nil end"));
                self.line("out(#u, u.x, u(1, 2), u .. 'x', 1 .. u, tostring(u), -u, u < u, u <= u, u == u, u == newproxy(u)) out(pcall(function() return u + 1 end)) out(pcall(function() u.x = 1 end)) end");
            }
            15 => {
                self.seen("type metatable");
                self.line("do debug.setmetatable(1, { __index = function(n, k) return n end, __call = function(n, x) return n + x end, __add = error, __len = function(n) return n end, __concat = print }) local n = 5 out(n.x, n(3), #n, pcall(function() return n + {} end)) debug.setmetatable(nil, { __index = function() return 'of nil' end }) out((nil).x) debug.setmetatable(nil, nil) debug.setmetatable(print, { __index = { name = 'f' } }) out(print.name) debug.setmetatable(print, nil) debug.setmetatable(1, nil) debug.setmetatable(true, { __tostring = function(b) return 'bool' end, __unm = function(b) return not b end }) out(tostring(true), -false) debug.setmetatable(true, nil) end");
            }
            16 => {
                self.seen("comment");
                self.line("-- a comment\n--[[ a long\none ]] out('after') --[==[ ]] ]==] --");
            }
            17 if self.vararg => {
                self.seen("select #");
                self.line("out(select('#', ...), (select('#')), pcall(select, 0, ...)) out(select(-1, ..., 'last')) local p, q, r = ... out(p, q, r, #{ 1, 2, ... } >= 2)");
            }
            18 => {
                self.seen("gsub with function");
                let (s, p, times) = (self.expression(Kind::Str, 1), self.pattern(), self.dice.roll(4));
                self.line(&format!("out(pcall(string.gsub, {s}, {p}, function(...) return select('#', ...) .. tostring((...)) end, {times}))"));
            }
            _ => {
                let (m, f) = (self.place(Kind::Map), self.field());
                self.line(&format!("out(pcall(function() return {m}.{f}.{f}.y end)) out(pcall(function() {m}.{f}.x = 1 end)) out(pcall(function() return {m}:{f}(1) end)) out(pcall(function() return {m}.{f} + 1, {m}.{f} .. 'x' end))"));
            }
        }
    }
}
