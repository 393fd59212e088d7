//! Made-up Lua programs, here and in LuaJIT: both must show the same.
//!
//! `cargo test -p perilune-stdlib --test differential` tries a few where `luajit` is installed; PERILUNE_FUZZ=FACTOR tries that many times
//! as many, PERILUNE_FUZZ_FROM=NUMBER begins elsewhere. A difference names its number: PERILUNE_FUZZ_SHOW=NUMBER prints that program and both
//! answers. What Debian's LuaJIT is not built for (the extras of Lua 5.2) is left out; so is what is undefined: order of `pairs`,
//! borders of tables with holes, addresses.
#![allow(clippy::unwrap_used)]

#[path = "../../../vm/tests/dice/mod.rs"]
mod dice;
mod generate;
mod library;
mod scenes;
mod values;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use generate::{Coverage, program};
use vm::{Lent, Stashed, Step, Value, Vm, Wake};

#[global_allocator]
static ALLOCATOR: vm::Allocator = vm::Allocator;

const HARNESS: &[u8] = include_bytes!("harness.lua");
/// Programs in one process, and in one machine.
const BATCH: u64 = 500;

/// Our answers.
struct Machine {
    vm: Vm,
    run: Stashed,
}

impl Machine {
    fn new() -> Machine {
        let vm = Vm::new();
        vm.enter(stdlib::open);
        let harness = vm.enter(|cx| match cx.load(HARNESS, b"@harness.lua", cx.globals()) {
            Ok(f) => cx.stash(Value::closure(f)),
            Err(e) => panic!("{}", cx.raw_tostring(e).escape_ascii()),
        });
        let run = stdlib::runner::evaluate(&vm, &harness, &[]).unwrap().remove(0);
        vm.limit_memory(256 << 20);
        Machine { vm, run }
    }
    /// None: killed.
    fn answer(&self, source: &str) -> Option<Vec<u8>> {
        let vm = &self.vm;
        let id = vm.enter(|cx| cx.spawn(cx.fetch(&self.run), &[cx.str(source.as_bytes())]).0);
        let mut left = 5_000_000;
        while left > 0 {
            let step = vm.run(id, Wake::Go, Lent { host: &mut (), phase: 0, fuel: &mut left });
            vm.collect(256.0);
            match step {
                Step::OutOfFuel => {}
                Step::Done => {
                    let answer = vm.enter(|cx| {
                        let (_, values) = cx.thread(id).and_then(|thread| cx.results_of(thread)).unwrap();
                        values[0].as_str().unwrap().bytes().to_vec()
                    });
                    vm.bury(id);
                    return Some(answer);
                }
                Step::Error => {
                    let failure = stdlib::runner::failure(vm, id);
                    return Some(failure.message);
                }
                _ => break,
            }
        }
        vm.bury(id);
        None
    }
}

/// LuaJIT's answers; None for those after one that ended the process.
fn reference(sources: &[String]) -> Vec<Option<Vec<u8>>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential");
    // (one that keeps it busy for ever is ended with it: after four seconds of the processor)
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -t 4; exec luajit -joff harness.lua -"])
        .current_dir(directory)
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let answers = std::thread::scope(|scope| {
        scope.spawn(move || {
            for source in sources {
                if write!(input, "{}\n{source}", source.len()).is_err() {
                    return;
                }
            }
        });
        let mut answer = || {
            let mut line = String::new();
            output.read_line(&mut line).ok()?;
            let mut bytes = vec![0; line.trim().parse().ok()?];
            output.read_exact(&mut bytes).ok()?;
            Some(bytes)
        };
        sources.iter().map(|_| answer()).collect()
    });
    let _ = child.wait();
    answers
}

/// What may differ, and why.
fn excused(text: &[u8]) -> bool {
    let has = |word: &str| memchr::memmem::find(text, word.as_bytes()).is_some();
    // How deep calls may go is each machine's own affair.
    // What LuaJIT has written in Lua (math.deg, table.foreach) says so in its errors.
    // So do addresses of its natives, which are numbers there; and an error in an error handler ends there at once.
    has("builtin")
        || has("BUILTIN")
        || has("nitliub")
        || has("error in error handling")
        || has("stack overflow")
        || has("C-call boundary")
        || has("not enough memory")
        || text == b"killed"
        || text.is_empty()
}

/// Lua 5.2 asks any value's `__lt` and `__le`, 5.1 (and Debian's LuaJIT) those of two of a kind: no userdata and something else.
fn later_lua(ours: &[u8], theirs: &[u8]) -> bool {
    let (ours, theirs) = (String::from_utf8_lossy(ours), String::from_utf8_lossy(theirs));
    let first = ours.lines().zip(theirs.lines()).find(|(a, b)| a != b);
    first.is_some_and(|(a, b)| {
        a.starts_with("\"__l") && b.contains("attempt to compare") || b.contains("attempt to compare userdata with")
    })
}

/// What LuaJIT itself shows otherwise in another process: parts of addresses.
fn unsteady(source: &str, theirs: &[u8]) -> bool {
    (0..2).any(|_| reference(&[source.to_string()])[0].as_deref() != Some(theirs))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn made_up_programs_show_what_luajit_shows() {
    if Command::new("luajit").arg("-v").output().is_err() {
        assert!(std::env::var_os("PERILUNE_CI").is_none(), "luajit is not installed");
        return eprintln!("luajit is not installed: nothing to compare with");
    }
    if let Some(n) = number("PERILUNE_FUZZ_SHOW") {
        let (source, _) = program(n);
        let theirs = reference(std::slice::from_ref(&source)).remove(0).unwrap_or_default();
        let ours = Machine::new().answer(&source).unwrap_or_default();
        println!(
            "{source}\n=== here\n{}\n=== luajit\n{}",
            String::from_utf8_lossy(&ours),
            String::from_utf8_lossy(&theirs)
        );
        return;
    }
    let from = number("PERILUNE_FUZZ_FROM").unwrap_or(0);
    let count = dice::rounds(2 * BATCH);
    let (mut coverage, mut left_out, mut refused, mut differing) = (Coverage::default(), 0, 0, Vec::new());
    for first in (from..from + count).step_by(BATCH as usize) {
        let programs: Vec<_> = (first..first + BATCH).map(program).collect();
        let sources: Vec<String> = programs.iter().map(|(source, _)| source.clone()).collect();
        let mut answers = reference(&sources);
        while let Some(at) = answers.iter().position(Option::is_none) {
            // One ended the process: the others go on without it.
            println!("{}: luajit did not answer", first + at as u64);
            answers[at] = Some(Vec::new());
            answers.splice(at + 1.., reference(&sources[at + 1..]));
        }
        let machine = Machine::new();
        for (n, ((source, made), theirs)) in (first..).zip(programs.iter().zip(answers)) {
            let (ours, theirs) = (machine.answer(source), theirs.unwrap());
            coverage.add(made);
            let Some(ours) = ours else {
                left_out += 1;
                continue;
            };
            if theirs.starts_with(b"no program") {
                refused += 1;
            }
            if ours == theirs {
                continue;
            }
            if excused(&theirs) || excused(&ours) || later_lua(&ours, &theirs) || unsteady(source, &theirs) {
                left_out += 1;
            } else {
                differing.push(n);
                if differing.len() <= number("PERILUNE_FUZZ_LIST").unwrap_or(20) as usize {
                    first_difference(n, &ours, &theirs);
                }
            }
        }
        if differing.len() > 1000 {
            break;
        }
        let done = first + BATCH - from;
        if done.is_multiple_of(100_000) {
            println!("{done} programs, {left_out} left out, {refused} not compiled, {} differ", differing.len());
        }
    }
    for row in Coverage::rows() {
        let made = coverage.0.get(row).copied().unwrap_or(0);
        if number("PERILUNE_FUZZ_TABLE").is_some() {
            println!("{row:28} {made:10}");
        }
        assert!(made > 0, "{row} was never made");
    }
    println!("{count} programs, {left_out} left out, {refused} not compiled");
    assert!(differing.is_empty(), "{} differ: {:?}", differing.len(), &differing[..differing.len().min(20)]);
    assert!(left_out * 100 < count, "{left_out} of {count} were left out");
}

fn first_difference(n: u64, ours: &[u8], theirs: &[u8]) {
    let (ours, theirs) = (String::from_utf8_lossy(ours), String::from_utf8_lossy(theirs));
    let mut pairs = ours.lines().zip(theirs.lines());
    match pairs.find(|(a, b)| a != b) {
        Some((a, b)) => println!("{n}: here   {a}\n{:width$}: luajit {b}", "", width = n.to_string().len()),
        None => println!("{n}: one is longer"),
    }
}
