//! Sources made to hurt the compiler: ten megabytes, a million levels, names, constants. Each loads, or fails with LuaJIT's error, in at
//! most ten times its own size of memory and, when optimised, in a second of processor time.
//!
//! What the system says of a process's memory is measured, so each has a process of its own. `BOMB=f() cargo test -p perilune-vm --test
//! bombs -- --nocapture` measures those whose sources begin so.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::Command;

#[global_allocator]
static ALLOCATOR: vm::Allocator = vm::Allocator;

const MIB: usize = 1 << 20;
/// Ten megabytes of the unit, or a million of it.
const FULL: usize = 0;
const MANY: usize = 1_000_000;

/// The beginning, the unit (`@` is its number), how many, the end, and what the answer has to contain.
struct Bomb(&'static str, &'static str, usize, &'static str, &'static str);

const DEEP: &str = "chunk has too many syntax levels";
const FINE: &str = "fine";
const LOCALS: &str = "has more than 200 local variables";
const COMPLEX: &str = "function or expression too complex";
const LONG: &str = "control structure too long";
const CONSTANTS: &str = "has more than 65536 constants";

const MANY_FUNCTIONS: &str = "f(function()return\
    {function()end,function()end,function()end,function()end,function()end,function()end,function()end,function()end,\
    function()end,function()end,function()end,function()end,function()end,function()end,function()end,function()end}end)";

const BOMBS: &[Bomb] = &[
    // Ten megabytes of each kind of statement.
    Bomb("", "x = 1\n", FULL, "", FINE),
    Bomb("", "x=1 ", FULL, "", FINE),
    Bomb("", "f()\n", FULL, "", FINE),
    Bomb("", "f{}", FULL, "", FINE),
    Bomb("", "f''", FULL, "", FINE),
    Bomb("", "f(x)", FULL, "", FINE),
    Bomb("", "a,b=b,a ", FULL, "", FINE),
    Bomb("", "a.b.c.d=e.f.g.h ", FULL, "", FINE),
    Bomb("", "do local x = y.z end\n", FULL, "", FINE),
    Bomb("", "do local a,b,c,d,e,f end ", FULL, "", FINE),
    Bomb("", "do end ", FULL, "", FINE),
    Bomb("", "if a then b() end\n", FULL, "", FINE),
    Bomb("", "if a then end ", FULL, "", FINE),
    Bomb("", "while x do end ", FULL, "", FINE),
    Bomb("", "while x do break end ", FULL, "", FINE),
    Bomb("", "repeat until x ", FULL, "", FINE),
    Bomb("", "for i=1,2 do end ", FULL, "", FINE),
    Bomb("", "for k in x do end ", FULL, "", FINE),
    Bomb("", "t[i] = 'k' .. i\n", FULL, "", FINE),
    Bomb("", "x=a and b or c ", FULL, "", FINE),
    Bomb("", "x=not a ", FULL, "", FINE),
    Bomb("", "x=a==b ", FULL, "", FINE),
    Bomb("", "x=@LL ", FULL, "", FINE),
    Bomb("", "x@=@ ", FULL, "", CONSTANTS),
    Bomb("", "x=@.5 ", FULL, "", FINE),
    Bomb("", "x='@' ", FULL, "", FINE),
    Bomb("", "f'@'", FULL, "", FINE),
    Bomb("", "x.y@=1 ", FULL, "", FINE),
    Bomb("", "f(function() end)\n", FULL, "", CONSTANTS),
    Bomb("", "do ::a:: goto a end ", FULL, "", FINE),
    Bomb("", "do ::a@:: end ", FULL, "", FINE),
    Bomb("", "::l@:: ", FULL, "", DEEP),
    Bomb("", "::l@:: f()", FULL, "", FINE),
    Bomb("", "goto a ", FULL, "", "undefined label 'a'"),
    Bomb("", "goto a ", FULL, "::a::", FINE),
    Bomb("while x do ", "break ", FULL, " end", FINE),
    Bomb("", "break ", FULL, "", "no loop to break"),
    Bomb("", "local x = y.z\n", FULL, "", LOCALS),
    Bomb("", "local a@ ", FULL, "", LOCALS),
    // The same inside a block, and inside a function.
    Bomb("do ", "f()", FULL, " end", FINE),
    Bomb("do ", "x=1 ", FULL, " end", FINE),
    Bomb("if x then ", "f()", FULL, " end", FINE),
    Bomb("while x do ", "f()", FULL, " end", FINE),
    Bomb("repeat ", "f()", FULL, " until x", FINE),
    Bomb("for i=1,2 do ", "f()", FULL, " end", FINE),
    Bomb("function f() ", "f()", FULL, " end", FINE),
    Bomb("function f() ", "x=1 ", FULL, " end", FINE),
    Bomb("local a function f() ", "a=1 ", FULL, " end", FINE),
    Bomb("local function f() ", "local function g() end ", FULL, " end", LOCALS),
    Bomb("function f() ", "do local x=y end ", FULL, " end", FINE),
    Bomb("function f() ", "if a then b() end ", FULL, " end", FINE),
    Bomb("function f() ", "x=function() return f end ", 60_000, " end", FINE),
    Bomb("return function() return function() ", "f()", FULL, " end end", FINE),
    Bomb("if x then ", "elseif x then ", FULL, " end", FINE),
    Bomb("if x then ", "elseif x then f()", FULL, " end", FINE),
    // Functions.
    Bomb("", "function f()end ", 60_000, "", FINE),
    Bomb("", "function f(a,b,c,d)local e return e end ", 60_000, "", FINE),
    Bomb("", "do local a local function f() a=1 end end ", 60_000, "", FINE),
    Bomb("function f(", "a,", FULL, "x) end", LOCALS),
    // Long tokens.
    Bomb("return '", "x", FULL, "'", FINE),
    Bomb("return [[", "x\n", FULL, "]]", FINE),
    Bomb("return '", "\\n", FULL, "'", FINE),
    Bomb("return '", "\\z  ", FULL, "'", FINE),
    Bomb("return '", "\\x41", FULL, "'", FINE),
    Bomb("return '", "\\065", FULL, "'", FINE),
    Bomb("return '", "\\u{41}", FULL, "'", FINE),
    Bomb("--[[", "x", FULL, "]]", FINE),
    Bomb("--[[", "] ", FULL, "]]", FINE),
    Bomb("--[==[", "]=]", FULL, "]==]", FINE),
    Bomb("", "--x\n", FULL, "", FINE),
    Bomb("", "\n", FULL, "", FINE),
    Bomb("", ";", FULL, "", FINE),
    Bomb("", "x", FULL, "", "'=' expected near '<eof>'"),
    Bomb("", "1", FULL, "", "'"),
    Bomb("x = ", "1", FULL, "", FINE),
    Bomb("x = 0x", "f", FULL, "", FINE),
    Bomb("x = 0.", "1", FULL, "", FINE),
    Bomb("\"", "\\", FULL, "", "unfinished string near '<eof>'"),
    Bomb("[", "=", FULL, "", "'"),
    // A million levels.
    Bomb("return ", "(", MANY, "", DEEP),
    Bomb("return ", "{", FULL, "", DEEP),
    Bomb("return ", "f(", MANY, "", DEEP),
    Bomb("return ", "f{", MANY, "", DEEP),
    Bomb("return ", "a[", MANY, "", DEEP),
    Bomb("return ", "{[", MANY, "", DEEP),
    Bomb("return ", "function() return ", MANY, "", DEEP),
    Bomb("return ", "not ", MANY, "", DEEP),
    Bomb("return ", "#", MANY, "", DEEP),
    Bomb("return ", "-", MANY, "", FINE),
    Bomb("return ", "- ", MANY, "", DEEP),
    Bomb("return ", "1 ^ ", MANY, "", DEEP),
    Bomb("return ", "'' .. ", MANY, "", DEEP),
    Bomb("return ", "'a'..'b'..", FULL, "", DEEP),
    Bomb("return ", "a and (", MANY, "", DEEP),
    Bomb("return ", "{{},{", MANY, "", DEEP),
    Bomb("", "for i = 1, 2 do ", MANY, "", LOCALS),
    Bomb("", "do ", MANY, "", DEEP),
    Bomb("", "while x do ", MANY, "", DEEP),
    Bomb("", "repeat ", MANY, "", DEEP),
    Bomb("", "if x then ", MANY, "", DEEP),
    Bomb("", "if x then else ", MANY, "", DEEP),
    Bomb("", "function f() ", MANY, "", DEEP),
    Bomb("", "local function f() ", MANY, "", DEEP),
    // One expression.
    Bomb("return ", "1 + ", FULL, "1", FINE),
    Bomb("return ", "x+", FULL, "1", COMPLEX),
    Bomb("return ", "x+1-", FULL, "1", COMPLEX),
    Bomb("return ", "x and ", FULL, "1", LONG),
    Bomb("return ", "x or ", FULL, "1", LONG),
    Bomb("return ", "x and y or ", FULL, "1", LONG),
    Bomb("return ", "x == ", FULL, "1", COMPLEX),
    Bomb("return ", "x<", FULL, "1", COMPLEX),
    Bomb("if ", "x<y or ", FULL, "z then end", LONG),
    Bomb("if ", "x and ", FULL, "z then end", LONG),
    Bomb("local t = x", ".y", FULL, "", COMPLEX),
    Bomb("local t = x", "()", FULL, "", COMPLEX),
    Bomb("local t = x", "''", FULL, "", COMPLEX),
    Bomb("local t = x", "{}", FULL, "", COMPLEX),
    Bomb("local t = x", "[y]", FULL, "", COMPLEX),
    Bomb("local t = x", "[1]", FULL, "", COMPLEX),
    Bomb("local t = x", ":y()", FULL, "", COMPLEX),
    Bomb("a", ":b():c()", FULL, "", COMPLEX),
    Bomb("a", ".b.c()", FULL, "", COMPLEX),
    Bomb("return ", "x,", FULL, "x", COMPLEX),
    Bomb("f(", "x,", FULL, "x)", COMPLEX),
    Bomb("", "x,", FULL, "x = 1", "has more than 200 variable names"),
    Bomb("local ", "a,", FULL, "x", LOCALS),
    Bomb("", "f{function()end,function()end,function()end,function()end,function()end}", 13_000, "", FINE),
    Bomb("", "f(function()return{function()end,function()end,function()end,function()end}end)", FULL, "", CONSTANTS),
    Bomb("", MANY_FUNCTIONS, FULL, "", FINE),
    // One table.
    Bomb("return {", "@,", FULL, "}", FINE),
    Bomb("return {", "1,", FULL, "}", FINE),
    Bomb("return {", "@.5,", FULL, "}", FINE),
    Bomb("return {", "@LL,", FULL, "}", FINE),
    Bomb("return {", "'@',", FULL, "}", FINE),
    Bomb("return {", "'@--------------------------------',", FULL, "}", FINE),
    Bomb("return {", "'@-----------------------------------------------',", FULL, "}", FINE),
    Bomb("return {", "nil,", FULL, "}", FINE),
    Bomb("return {", "{},", FULL, "}", FINE),
    Bomb("return {", "{1},", FULL, "}", FINE),
    Bomb("return {", "{a=1},", FULL, "}", FINE),
    Bomb("return {", "x,", FULL, "}", FINE),
    Bomb("return {", "f(),", FULL, "}", FINE),
    Bomb("return {", "-x,", FULL, "}", FINE),
    Bomb("return {", "x.y,", FULL, "}", FINE),
    Bomb("return {", "a=1,", FULL, "}", FINE),
    Bomb("return {", "a=x,", FULL, "}", FINE),
    Bomb("return {", "a@=1,", FULL, "}", FINE),
    Bomb("return {", "[x]=y,", FULL, "}", FINE),
    Bomb("return {", "[@]=@,", FULL, "}", FINE),
    Bomb("return {", "function()end,", 60_000, "}", FINE),
    Bomb("return {", "function()end,", FULL, "}", CONSTANTS),
];

impl Bomb {
    fn source(&self) -> String {
        let &Bomb(head, unit, count, tail, _) = self;
        let mut source = String::with_capacity(10 * MIB + 100);
        source.push_str(head);
        let (before, numbered, after) = match unit.split_once('@') {
            Some((before, after)) => (before, true, after),
            None => (unit, false, ""),
        };
        let mut i = 0;
        while if count == FULL { source.len() < 10 * MIB } else { i < count } {
            source.push_str(before);
            if numbered {
                source.push_str(&format!("{i}{}", after.replace('@', &i.to_string())));
            }
            i += 1;
        }
        source.push_str(tail);
        source.shrink_to_fit();
        source
    }

    /// What the process of one bomb prints: size, seconds, bytes, and the answer.
    fn explode(&self) {
        let vm = vm::Vm::new();
        let source = self.source();
        let (began, before) = (seconds(), forget());
        let message = vm.enter(|cx| match cx.load(source.as_bytes(), b"=t", cx.globals()) {
            Ok(_) => FINE.to_string(),
            Err(error) => String::from_utf8_lossy(&cx.raw_tostring(error)).into_owned(),
        });
        let (took, grown) = (seconds() - began, before.map_or(0, |before| peak().saturating_sub(before)));
        let shown = &message[..message.len().min(70)];
        let ended = message.contains(self.4);
        println!("\nBOMB {} {took} {grown} {ended} {}", source.len(), shown.replace('\n', " "));
    }
}

/// The most memory since the last `forget`, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("VmHWM: 0");
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// From now on `peak` counts anew; gives what is in use. (None where the system cannot.)
fn forget() -> Option<usize> {
    fs::write("/proc/self/clear_refs", "5").ok()?;
    Some(peak())
}

/// Processor time of this thread, in seconds.
fn seconds() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

#[test]
fn bombs_load_or_fail_soon_and_small() {
    if let Ok(number) = std::env::var("BOMB_NUMBER") {
        return BOMBS[number.parse::<usize>().unwrap()].explode();
    }
    let wanted = std::env::var("BOMB").unwrap_or_default();
    let mut wrong = Vec::new();
    for (i, bomb) in BOMBS.iter().enumerate() {
        let shown = format!("{}{}…{}", bomb.0, bomb.1, bomb.3).replace('\n', "⏎");
        if !shown.starts_with(&wanted) {
            continue;
        }
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "bombs_load_or_fail_soon_and_small", "--nocapture", "--test-threads=1"]);
        let output = child.env("BOMB_NUMBER", i.to_string()).output().unwrap();
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let Some(answer) = output.lines().find_map(|line| line.strip_prefix("BOMB ")) else {
            wrong.push(format!("{shown}: no answer: {output}"));
            continue;
        };
        let fields: Vec<&str> = answer.splitn(5, ' ').collect();
        let [size, took, grown] = [0, 1, 2].map(|i| fields[i].parse::<f64>().unwrap());
        let times = grown / size;
        println!("{shown:42} {:5.2} MB {took:5.2} s {:7.2} MB {times:5.1} x  {}", size / 1e6, grown / 1e6, fields[4]);
        if fields[3] != "true" {
            wrong.push(format!("{shown}: {}, not {}", fields[4], bomb.4));
        }
        // (half a megabyte for what any program takes)
        if grown > 10.0 * size + 0.5 * MIB as f64 {
            wrong.push(format!("{shown}: {times:.1} times its size"));
        }
        if !cfg!(debug_assertions) && took > 1.0 {
            wrong.push(format!("{shown}: {took} s"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_memory_limit_ends_the_compiler() {
    let vm = vm::Vm::new();
    vm.limit_memory(16 * MIB);
    let source = "f()\n".repeat(MIB);
    let message = vm.enter(|cx| match cx.load(source.as_bytes(), b"=t", cx.globals()) {
        Ok(_) => "fine".to_string(),
        Err(error) => String::from_utf8_lossy(&cx.raw_tostring(error)).into_owned(),
    });
    assert_eq!(message, "not enough memory");
    // (the source counts as well)
    assert!(vm.memory() < 6 * MIB, "{}", vm.memory());
}
