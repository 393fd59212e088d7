//! Hostile programs: each ends by itself, with the error that Lua has for it, in bounded time and memory.
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use vm::{Lent, Step, Vm, Wake};

#[global_allocator]
static ALLOCATOR: vm::Allocator = vm::Allocator;

const MIB: usize = 1 << 20;

struct Run {
    /// `done`, an error's message, or `out of fuel`.
    end: String,
    /// The most bytes in use between two slices.
    peak: usize,
    /// Of processor time.
    seconds: f64,
}

/// Processor time of this thread: other programs' load is not ours to answer for.
fn processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Runs a program with a memory limit and so much fuel in all.
fn run(source: &str, limit: usize, fuel: i64) -> Run {
    let vm = Vm::new();
    vm.enter(stdlib::open);
    vm.limit_memory(limit);
    let began = processor();
    let loaded = vm.enter(|cx| match cx.load(source.as_bytes(), b"=t", cx.globals()) {
        Ok(f) => Ok(cx.stash(vm::Value::closure(f))),
        Err(e) => Err(String::from_utf8_lossy(&cx.raw_tostring(e)).into_owned()),
    });
    let mut peak = vm.memory();
    let end = match loaded {
        Err(message) => message,
        Ok(f) => {
            let id = vm.start(&f);
            let mut left = fuel;
            loop {
                let slice = left.min(20_000);
                let mut fuel = slice;
                let step = vm.run(id, Wake::Go, Lent { host: &mut (), phase: 0, fuel: &mut fuel });
                left -= slice - fuel;
                peak = peak.max(vm.memory());
                vm.collect(256.0);
                match step {
                    Step::OutOfFuel if left <= 0 => break "out of fuel".to_string(),
                    Step::OutOfFuel => {}
                    Step::Error => {
                        break vm.enter(|cx| {
                            let results = cx.thread(id).and_then(|t| cx.results_of(t));
                            let error = results.and_then(|(_, v)| v.first().copied()).unwrap_or(vm::Value::NIL);
                            String::from_utf8_lossy(&cx.raw_tostring(error)).into_owned()
                        });
                    }
                    _ => break "done".to_string(),
                }
            }
        }
    };
    Run { end, peak, seconds: (processor() - began).as_secs_f64() }
}

/// With 32 MiB: the program ends with a message that contains `end`, without ever holding twice the limit, and soon.
fn check(source: &str, end: &str) {
    let run = run(source, 32 * MIB, 400_000_000);
    let shown: String = source.chars().take(80).collect();
    assert!(run.end.contains(end), "{shown}\n  ended with: {}\n  not: {end}", run.end);
    assert!(run.peak < 64 * MIB, "{shown}\n  had {} MiB", run.peak / MIB);
    // (a collector that runs wherever it may takes its time)
    assert!(run.seconds < 20.0 || cfg!(feature = "zeal"), "{shown}\n  took {} s", run.seconds);
}

#[test]
fn memory_bombs_end_with_not_enough_memory() {
    let full = "not enough memory";
    check("local t = {} for i = 1, 1e9 do t[i] = i end", full);
    check("local t = {} for i = 1, 1e9 do t[i] = {} end", full);
    check("local t = {} for i = 1, 1e9 do t['k' .. i] = i end", full);
    check("local t = {} for i = 1, 1e9 do t[#t + 1] = function() return i end end", full);
    check("local t = {} while true do table.insert(t, 1) end", full);
    check("local t = {} for i = 1, 1e9 do rawset(t, i, i) end", full);
    check("local s = 'x' while true do s = s .. s end", full);
    check("return string.rep('x', 1e9)", full);
    check("return string.rep('x', 1e5):rep(1e4)", full);
    check("local s = string.rep('x', 1e6) return (s:gsub('x', s))", full);
    check("local s = string.rep('x', 1e6) return (s:gsub('.+', string.rep('%0', 1000)))", full);
    check("local s, t = string.rep('x', 1e6), {} for i = 1, 1000 do t[i] = s end return table.concat(t)", full);
    check("local t = {} for i = 1, 1e9 do t[i] = coroutine.create(print) end", full);
    check(
        "local function f() return f() + 1 end local t = {} for i = 1, 1e6 do t[i] = coroutine.create(f) coroutine.resume(t[i]) end",
        "",
    );
    check("local t = {} while true do t = {t} end", full);
    check("local s = {} for i = 1, 1e7 do s[i] = newproxy(true) end", full);
    check("error(select(2, load(function() return string.rep('x', 1e5) end)))", full);
    check("return string.format('%99.99f', 1):rep(1e7)", full);
}

#[test]
fn not_enough_memory_can_be_caught_but_not_for_ever() {
    check(
        "local ok, e = pcall(string.rep, 'x', 1e9) assert(not ok and e == 'not enough memory') error(e .. '!')",
        "memory!",
    );
    check(
        "local t = {} local ok, e = pcall(function() for i = 1, 1e9 do t[i] = i end end) t = nil error('caught ' .. e)",
        "caught not",
    );
    check("while true do pcall(string.rep, 'x', 1e9) end", "not enough memory");
    check(
        "local t = {} local function f() for i = #t, 1e9 do t[i] = {} end end while true do pcall(f) end",
        "not enough memory",
    );
    check(
        "while true do xpcall(function() local t = {} for i = 1, 1e9 do t[i] = {} end end, function(e) return e end) end",
        "not enough memory",
    );
    check(
        "local function hog() local t = {} for i = 1, 1e9 do t[i] = {} end end \
         while true do coroutine.resume(coroutine.create(function() while true do pcall(hog) end end)) end",
        "not enough memory",
    );
}

#[test]
fn garbage_is_no_bomb() {
    check("for i = 1, 3e6 do local t = {i, i} end error('fine')", "fine");
    check("for i = 1, 400 do local s = string.rep('x', 1e6) end error('fine')", "fine");
    check(
        "local keep = {} for i = 1, 1e5 do keep[i] = {} end for i = 1, 2e6 do local t = {i} end error('fine')",
        "fine",
    );
}

#[test]
fn recursion_ends_with_stack_overflow() {
    check("local function f() return 1 + f() end f()", "stack overflow");
    check(
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x",
        "stack overflow",
    );
    check(
        "local t = setmetatable({}, {}) getmetatable(t).__tostring = function(t) return tostring(t) .. '' end return tostring(t)",
        "stack overflow",
    );
    check("local function f(x) return (string.gsub('x', 'x', f)) end f()", "stack overflow");
    check("local function f() return (pcall(f)) end error(tostring(f()))", "");
    check("local t = {} for i = 1, 7000 do t[i] = pcall end error(tostring(pcall(unpack(t))))", "");
    check("local f = pcall for i = 1, 1e5 do local g = f f = function() return g(g) end end error(tostring(f()))", "");
    check(
        "error(select(2, xpcall(function() local x = nil; x() end, function(e) error(e) end)))",
        "error in error handling",
    );
    check(
        "local function f() f() end error(select(2, xpcall(f, function(e) local function g() g() end g() end)))",
        "error in error handling",
    );
    check("local function co() return coroutine.wrap(co)() end co()", "");
    check("local s = {} s[1] = s table.sort({3, 2, 1, 4}, function(a, b) return table.sort({3, 2}, error) end)", "");
}

#[test]
fn endless_programs_run_out_of_fuel() {
    let check = |source: &str| {
        let run = run(source, 64 * MIB, 2_000_000);
        assert_eq!(run.end, "out of fuel", "{source}");
        assert!(run.seconds < 5.0, "{source}\n  took {} s", run.seconds);
    };
    check("while true do end");
    check("repeat until false");
    check("::a:: goto a");
    check("for i = 1, 1e300 do end");
    check("local function f() return f() end f()");
    check("while true do pcall(error) end");
    check("while true do string.rep('x', 1e6) end");
    check("while true do pcall(string.find, ('x'):rep(1000), ('x?'):rep(20) .. 'y') end");
    check("local s = ('a'):rep(5000) while true do pcall(s.find, s, '.-.-.-b') end");
    check("local t = {} for i = 1, 1e4 do t[i] = i end while true do table.sort(t) end");
    check("local t = {} for i = 1, 1e4 do t[i] = i end while true do table.concat(t) end");
    check("while true do collectgarbage() end");
    check("while true do collectgarbage('step') end");
    check("load(os.date)");
    check("table.sort({1, 2, 3}, function() while true do end end)");
    check(
        "local t = setmetatable({}, {__index = function(t, k) return k end}) for i, v in ipairs(t) do end while true do local x = t[1] end",
    );
    check("while true do tostring(12) end");
    let keys = "local t, u = {[('x'):rep(1e6)] = 1}, ('x'):rep(1e6)";
    check(&format!("{keys} while true do local v = t[u] end"));
    check(&format!("{keys} while true do t[u] = 2 end"));
    check(&format!("{keys} while true do rawget(t, u) rawset(t, u, 3) next(t, u) end"));
    check(
        "local function f(n) if n > 0 then return 1 + f(n - 1) end while true do debug.getinfo(4000, 'f') end end f(5000)",
    );
    check("while true do local f = loadstring('return 1') end");
    check("while true do string.format('%99d', 1) end");
    check("while true do unpack({}, 1, 7000) end");
    check("coroutine.wrap(function() while true do end end)()");
    check("while true do coroutine.wrap(function() end)() end");
    check(
        "getmetatable(newproxy(true)).__gc = print while true do local u = newproxy(true) getmetatable(u).__gc = function() while true do end end end",
    );
}

#[test]
fn compile_bombs_load_or_fail_soon() {
    let check = |source: String, end: &str| {
        let began = processor();
        let size = source.len();
        let vm = Vm::new();
        vm.enter(stdlib::open);
        let before = vm.memory();
        let message = vm.enter(|cx| match cx.load(source.as_bytes(), b"=t", cx.globals()) {
            Ok(_) => "fine".to_string(),
            Err(e) => String::from_utf8_lossy(&cx.raw_tostring(e)).into_owned(),
        });
        let used = vm.memory() - before;
        let shown: String = source.chars().take(60).collect();
        assert!(message.contains(end), "{shown}\n  {message}\n  not {end}");
        assert!(used < size * 10 + MIB, "{shown}\n  {used} bytes for {size}");
        // (a debug build on a busy machine)
        assert!((processor() - began).as_secs_f64() < 20.0, "{shown}");
    };
    let many = 1_000_000;
    check("x = 1\n".repeat(10 * MIB / 6), "fine");
    check(format!("return {}", "(".repeat(many)), "too many syntax levels");
    check(format!("return {}", "{".repeat(many)), "too many syntax levels");
    check("do ".repeat(many), "too many syntax levels");
    check(format!("return {}1", "-".repeat(2)), "");
    check(format!("return {} 1", "not ".repeat(many)), "too many syntax levels");
    check("function f() ".repeat(many), "too many syntax levels");
    check(format!("return {}1", "1 ^ ".repeat(many)), "too many syntax levels");
    check(format!("return {}''", "'' .. ".repeat(many)), "");
    check(format!("return {}1", "1 + ".repeat(many)), "");
    check(format!("return {{{}}}", (0..many).map(|i| format!("{i},")).collect::<String>()), "fine");
    check(format!("return {{{}}}", (0..many).map(|i| format!("'{i}',")).collect::<String>()), "fine");
    check((0..100_000).map(|i| format!("x{i} = {i}\n")).collect::<String>(), "more than 65536 constants");
    check(
        format!("local {}x", (0..300).map(|i| format!("a{i},")).collect::<String>()),
        "more than 200 local variables",
    );
    check(format!("f({}1)", "1,".repeat(300)), "too complex");
    check(format!("return '{}'", "x".repeat(10 * MIB)), "fine");
    check(format!("--[[{}]]", "x".repeat(10 * MIB)), "fine");
    check("goto a ".repeat(many), "undefined label");
    check(format!("local t = x{}", ".y".repeat(many)), "too complex");
    check(format!("if x then {} end", "elseif x then ".repeat(100_000)), "");
}

#[test]
fn a_killed_thread_catches_nothing() {
    let vm = Vm::new();
    vm.enter(stdlib::open);
    let source = b"while true do pcall(function() while true do pcall(error) end end) end";
    let f = vm.enter(|cx| match cx.load(source, b"=t", cx.globals()) {
        Ok(f) => cx.stash(vm::Value::closure(f)),
        Err(_) => panic!("a syntax error"),
    });
    let id = vm.start(&f);
    for _ in 0..10 {
        let mut fuel = 1000;
        let step = vm.run(id, Wake::Go, Lent { host: &mut (), phase: 0, fuel: &mut fuel });
        assert!(matches!(step, Step::OutOfFuel));
    }
    vm.bury(id);
    let mut fuel = 1000;
    let step = vm.run(id, Wake::Go, Lent { host: &mut (), phase: 0, fuel: &mut fuel });
    assert!(matches!(step, Step::Gone));
}

/// Work that is done outside the loop of instructions: none of it holds a slice up for long.
#[test]
fn every_slice_ends_soon() {
    let check = |source: &str| {
        let run = run(source, 32 * MIB, 400_000);
        assert!(["out of fuel", "not enough memory"].iter().any(|end| run.end.contains(end)), "{source}: {}", run.end);
        assert!(run.peak < 64 * MIB, "{source}\n  had {} MiB", run.peak / MIB);
        // (each of these took between 10 and 600 s)
        assert!(run.seconds < 5.0, "{source}\n  took {} s", run.seconds);
    };
    check("local s = ('x'):rep(1e6) local t = ('x'):rep(1e6) while true do local same = s == t end");
    check("local s = ('x'):rep(1e5) while true do s:find('[' .. ('a'):rep(1e5) .. ']') end");
    check(
        "local s = ('x'):rep(1e5) while true do pcall(s.find, s, '^[' .. ('a'):rep(1e5) .. ']*y') pcall(s.find, s, '.-[' .. ('a'):rep(1e4) .. ']') end",
    );
    check("local s = ('f'):rep(1e6) while true do tonumber(s, 16) end");
    check("local s = ('1'):rep(1e6) while true do local x = s + 1 end");
    check("local s = ('1'):rep(1e6) while true do local x = -s end");
    check("local s = ('1'):rep(1e6) while true do math.floor(s) end");
    check("local s = ('1'):rep(1e6) while true do for i = s, 1 do end end");
    check(
        "local t = {} for i = 1, 3e4 do t['k' .. i] = i end for i = 1, 3e4 do t['k' .. i] = nil end while true do next(t) end",
    );
    check(
        "local t = {} for i = 1, 3e4 do t['k' .. i] = i end for i = 1, 3e4 do t['k' .. i] = nil end while true do for k in pairs(t) do end end",
    );
    check("local function f(...) return f(1, ...) end f()");
    check("local function f(...) return f(..., ...) end f(1)");
    check("local f = io.tmpfile() f:write((' '):rep(1e6)) while true do f:seek('set') f:read('*n') end");
    check("package.path = ('?;'):rep(1e5) while true do pcall(require, 'x') end");
    check("package.path = ('?'):rep(1e5) while true do pcall(require, ('x'):rep(1000)) end");
    check("while true do os.date(('%1000c'):rep(1000)) end");
    // (where no loop and no call asks for fuel: an instruction that takes time does)
    for statement in ["x=s+1 ", "x=-s ", "x=s==t ", "x=s<t ", "x=k[t] ", "k[t]=1 "] {
        check(&format!(
            "local f = loadstring('local s, t, k, x = ... ' .. ('{statement}'):rep(1e5)) \
             local s, t = ('1'):rep(1e6), ('1'):rep(1e6) while true do f(s, t, {{[s] = 1}}) end"
        ));
    }
}

#[test]
fn reading_stays_within_the_memory() {
    let full = "not enough memory";
    for how in [
        "f:read('*a')",
        "f:read('*l')",
        "f:read(1e9)",
        "f:read(2^32 - 1)",
        "f:lines('*L')()",
        "load(function() return 'x' end)",
    ] {
        check(&format!("local f = io.open('/dev/zero') {how}"), full);
    }
    check("dofile('/dev/zero')", full);
    check("error(select(2, loadfile('/dev/zero')))", full);
}

/// Bytes of this process that are in memory, where the system tells.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages.and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// Scripts of every kind, each in a machine of its own with a random cap on memory and fuel: whatever ends them, nothing is left,
/// and the next script is right. `KILLS=100000` runs more of them.
#[test]
fn killed_scripts_leave_nothing() {
    const HUNGRY: &[&str] = &[
        "local t = {} for i = 1, 1e9 do t[i] = { i } end",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t[#t + 1] = ('x'):rep(1000) end",
        "local function f(n) return f(n + 1) + 1 end f(1)",
        "while true do local f = function() return f end end",
        "local all = {} while true do local co = coroutine.wrap(function() coroutine.yield() end) co() all[#all + 1] = co end",
        "while true do pcall(function() local t = {} for i = 1, 1e6 do t[i] = i .. '' end end) end",
        "local t = {} for i = 1, 1e9 do t['k' .. i] = i end",
        "local s = ('a'):rep(5000) while true do s:gsub('.', function(c) return c .. c end) end",
        "local t = {} for i = 1, 2000 do t[i] = 2000 - i end while true do table.sort(t, function(a, b) return a > b end) end",
        "local t = setmetatable({}, { __index = function(t, k) t[k] = { k } return t[k] end }) for i = 1, 1e9 do local x = t[i] end",
        "while true do string.format('%99d%99s', 1, 'x') end",
    ];
    let count = std::env::var("KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let mut state = 42u64;
    let mut chance = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let empty = {
        let vm = Vm::new();
        vm.enter(stdlib::open);
        vm.memory()
    };
    // (what is made once a process is there after the first)
    run(HUNGRY[0], 4 * MIB, 100_000);
    let before = vm::allocated();
    let (mut full, mut tired, mut deep, mut most, mut half_way) = (0, 0, 0, 0, 0);
    for i in 0..count {
        let source = HUNGRY[chance(HUNGRY.len() as u64) as usize];
        // (small caps more often than large ones: each power of two is as likely as the next)
        let room = 1usize << (12 + chance(15));
        let cap = (empty + room + chance(room as u64) as usize).min(64 << 20);
        // (fuel likewise: a thousand units to four million)
        let turns = 1u64 << (10 + chance(12));
        let end = run(source, cap, (turns + chance(turns)) as i64);
        match end.end.as_str() {
            text if text.contains("not enough memory") => full += 1,
            text if text.contains("out of fuel") => tired += 1,
            text if text.contains("stack overflow") => deep += 1,
            text => panic!("{source} with {cap}: {text}"),
        }
        most = most.max(end.peak);
        drop(end);
        if i == count / 2 {
            half_way = resident();
        }
        if i % 64 == 0 {
            check(
                "local t = {} for i = 1, 100 do t[i] = i * i end assert(#t == 100 and t[7] == 49) error('right', 0)",
                "right",
            );
            assert_eq!(vm::allocated(), before, "after {source} with {cap}");
        }
    }
    println!("{full} ended by memory, {tired} by fuel, {deep} by the stack; the largest had {most} bytes");
    assert!(full > count / 4 && tired > count / 8 && most > 24 * MIB, "{full} {tired} {deep} {most}");
    println!("{} MiB resident half-way, {} at the end", half_way / MIB, resident() / MIB);
    // (a size of blocks keeps what it once had: that takes a while to settle)
    assert!(count < 10_000 || resident() < half_way + 16 * MIB);
}

/// Threads that have ended are used again, but not under the eyes of Lua: one that it has kept stays dead, with an environment of
/// its own that nobody inherits.
#[test]
fn a_kept_thread_stays_what_it_was() {
    let vm = Vm::new();
    vm.enter(stdlib::open);
    let run = |source: &str| stdlib::runner::run(&vm, source.as_bytes(), b"=t", &[]).map_err(|e| e.message);
    assert_eq!(run("kept = coroutine.running() setfenv(0, setmetatable({ own = 1 }, { __index = _G }))"), Ok(()));
    assert_eq!(run("x = 1"), Ok(()));
    assert_eq!(run("assert(coroutine.status(kept) == 'dead' and coroutine.running() ~= kept)"), Ok(()));
    assert_eq!(run("assert(loadstring('return own')() == nil)"), Ok(()));
}
