//! Sources made to hurt the compiler: ten megabytes, a million levels, names, constants. Each loads, or fails with LuaJIT's error, in at
//! most ten times its own size of memory (and, when optimised, in a second of processor time). What needs more memory says how much:
//! single expressions, whose tree has a node of 16 to 40 bytes for every other byte of the source; so has what stands inside one
//! block or function. A machine's memory limit holds all the same: `a_memory_limit_ends_the_compiler`.
//!
//! What the system says of the process's memory is measured, so the tests take turns.
#![allow(clippy::unwrap_used)]

use std::fs;

#[global_allocator]
static ALLOCATOR: vm::Allocator = vm::Allocator;

const MIB: usize = 1 << 20;
const MANY: usize = 1_000_000;

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

struct Report(Vec<String>);

impl Report {
    /// The source's answer must contain `end`; `times` its size of memory must be enough.
    fn check(&mut self, source: String, end: &str, allowed: usize) {
        // (memory that an earlier source has left is used again: `BOMB='f()' cargo test ...` measures one alone)
        if std::env::var("BOMB").is_ok_and(|wanted| !source.starts_with(&wanted)) {
            return;
        }
        let shown = source.chars().take(40).collect::<String>().replace('\n', " ");
        let (size, began, before) = (source.len(), seconds(), forget());
        let message = match vm::compile::compile(source.as_bytes(), b"=t") {
            Ok(_) => "fine".to_string(),
            Err(error) => String::from_utf8_lossy(&error.message).into_owned(),
        };
        let (took, grown) = (seconds() - began, before.map_or(0, |before| peak().saturating_sub(before)));
        let times = grown as f64 / size as f64;
        println!(
            "{shown:40} {:8.2} MB {took:5.2} s {:8.2} MB {times:5.1} x  {}",
            size as f64 / 1e6,
            grown as f64 / 1e6,
            &message[..message.len().min(60)]
        );
        if !message.contains(end) {
            self.0.push(format!("{shown}: {message}, not {end}"));
        }
        if grown > allowed * size + 2 * MIB {
            self.0.push(format!("{shown}: {times:.1} times its size"));
        }
        if !cfg!(debug_assertions) && took > 1.0 {
            self.0.push(format!("{shown}: {took} s"));
        }
    }
}

static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn bombs_load_or_fail_soon_and_small() {
    let _turn = TURN.lock();
    let mut report = Report(Vec::new());
    let mut check_in = |source: String, end: &str, times: usize| report.check(source, end, times);
    let deep = "too many syntax levels";
    // Ten megabytes of each kind of thing.
    check_in("x = 1\n".repeat(10 * MIB / 6), "fine", 10);
    check_in("f()\n".repeat(10 * MIB / 4), "fine", 12);
    check_in("local x = y.z\n".repeat(10 * MIB / 14), "200 local variables", 10);
    check_in("do local x = y.z end\n".repeat(10 * MIB / 21), "fine", 10);
    check_in("if a then b() end\n".repeat(10 * MIB / 18), "fine", 10);
    check_in("t[i] = 'k' .. i\n".repeat(10 * MIB / 16), "fine", 10);
    check_in("f(function() end)\n".repeat(10 * MIB / 18), "", 10);
    check_in(format!("return '{}'", "x".repeat(10 * MIB)), "fine", 10);
    check_in(format!("return [[{}]]", "x\n".repeat(5 * MIB)), "fine", 10);
    check_in(format!("return '{}'", "\\n".repeat(5 * MIB)), "fine", 10);
    check_in(format!("--[[{}]]", "x".repeat(10 * MIB)), "fine", 10);
    check_in("--x\n".repeat(10 * MIB / 4), "fine", 10);
    check_in(";".repeat(10 * MIB), "fine", 10);
    check_in("x".repeat(10 * MIB), "'=' expected", 10);
    check_in("1".repeat(10 * MIB), "unexpected symbol near", 10);
    check_in(format!("x = {}", "1".repeat(10 * MIB)), "fine", 10);
    // A million levels.
    for open in
        ["(", "{", "f(", "f{", "a[", "function() return ", "not ", "#", "-", "- ", "1 ^ ", "'' .. ", "a and (", "{{},{"]
    {
        let source = format!("return {}", open.repeat(MANY));
        check_in(source, if open == "-" { "fine" } else { deep }, 10);
    }
    check_in("for i = 1, 2 do ".repeat(MANY), "more than 200 local variables", 10);
    for open in ["do ", "while x do ", "repeat ", "if x then ", "function f() ", "local function f() "] {
        check_in(open.repeat(MANY), deep, 10);
    }
    check_in(format!("if x then {} end", "elseif x then ".repeat(MANY)), "fine", 10);
    check_in(format!("return {}1", "1 + ".repeat(MANY)), "fine", 10);
    check_in(format!("return {}1", "x and ".repeat(MANY)), "fine", 10);
    check_in(format!("return {}1", "x == ".repeat(MANY)), "fine", 20);
    check_in(format!("local t = x{}", ".y".repeat(MANY)), "fine", 25);
    check_in(format!("local t = x{}", "()".repeat(MANY)), "fine", 25);
    check_in(format!("local t = x{}", ":y()".repeat(MANY)), "fine", 15);
    // A million of a kind.
    check_in(format!("return {{{}}}", (0..MANY).map(|i| format!("{i},")).collect::<String>()), "fine", 20);
    check_in(format!("return {{{}}}", (0..MANY).map(|i| format!("'{i}',")).collect::<String>()), "fine", 40);
    check_in(format!("return {{{}}}", "{},".repeat(MANY)), "fine", 40);
    check_in(format!("return {{{}}}", "x,".repeat(MANY)), "fine", 40);
    check_in((0..MANY).map(|i| format!("x{i}={i} ")).collect::<String>(), "more than 65536 constants", 20);
    check_in((0..MANY).map(|i| format!("x={i}.5 ")).collect::<String>(), "fine", 30);
    check_in(format!("local {}x", "a,".repeat(MANY)), "more than 200 local variables", 10);
    check_in((0..MANY).map(|i| format!("local a{i} ")).collect::<String>(), "more than 200 local variables", 10);
    check_in(format!("function f({}x) end", "a,".repeat(MANY)), "more than 200 local variables", 10);
    check_in(format!("return {}x", "x,".repeat(MANY)), "too complex", 10);
    check_in(format!("f({}x)", "x,".repeat(MANY)), "too complex", 10);
    check_in(format!("{}x = 1", "x,".repeat(MANY)), "", 10);
    check_in("goto a ".repeat(MANY), "undefined label", 20);
    check_in((0..MANY).map(|i| format!("::l{i}:: ")).collect::<String>(), deep, 10);
    check_in("\"".to_string() + &"\\".repeat(MANY), "unfinished string", 10);
    check_in("[".to_string() + &"=".repeat(MANY), "invalid long string delimiter", 10);
    assert!(report.0.is_empty(), "{}", report.0.join("\n"));
}

#[test]
fn a_memory_limit_ends_the_compiler() {
    let _turn = TURN.lock();
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
