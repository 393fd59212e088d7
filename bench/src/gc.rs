//! The collector: how long it holds a machine up, and how much memory it lets a program have beyond what is alive.
//!
//! Each row builds a heap, then makes garbage beside it, slice by slice as a host runs it. Timed is each call of `Vm::collect`, in
//! CPU time of this thread; memory is what the allocator has handed out.

use std::fmt::Write;

use ::vm::{Lent, Step, Vm, Wake};
use rustix::time::{ClockId, clock_gettime};

/// As the command line and the server run slices.
const SLICE: i64 = 20_000;
const DEBT: f64 = 256.0;

struct Program {
    name: &'static str,
    /// What the row guards against.
    why: &'static str,
    /// Makes `live`, then returns the function that makes garbage.
    source: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program {
        name: "100 MB of objects",
        why: "many tables under 1 MB: marking goes in small steps",
        source: "live = {} for i = 1, 500 do local t = {} for j = 1, 1000 do t[j] = { j, tostring(j), x = j } end live[i] = t end
                 return function() for i = 1, 3000000 do local t = { i, i + 1 } end end",
    },
    Program {
        name: "one 100 MB table",
        why: "one object is traced in one step",
        source: "live = {} for i = 1, 13000000 do live[i] = i end
                 return function() for i = 1, 3000000 do local t = { i, i + 1 } end end",
    },
    Program {
        name: "96 MB table, small garbage",
        why: "paced by objects alone, every allocation would pay for the table",
        source: "live = {} for i = 1, 12000000 do live[i] = i end
                 return function() for i = 1, 3000000 do local s = 'item' .. i end end",
    },
    Program {
        name: "large strings",
        why: "paced by objects alone, a few of them would fill the memory",
        source: "live = ('x'):rep(1000000)
                 return function() for i = 1, 3000 do local s = live .. i end end",
    },
    Program {
        name: "growing tables",
        why: "growth that the arena does not see would be free",
        source: "live = {}
                 return function() for r = 1, 300 do local t = {} for i = 1, 20000 do t[i] = i end end end",
    },
];

pub fn main() -> Result<(), String> {
    let mut out = String::from("collector steps: microseconds of CPU time; memory: megabytes\n");
    let _ = writeln!(
        out,
        "{:<28}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}",
        "heap", "steps", "p50", "p99", "p99.9", "longest", "alive", "peak", "collect %"
    );
    for program in PROGRAMS {
        let row = measure(program.source)?;
        let at =
            |share: f64| row.steps[((row.steps.len() as f64 * share) as usize).min(row.steps.len() - 1)] as f64 / 1e3;
        let _ = writeln!(
            out,
            "{:<28}{:>9}{:>9.1}{:>9.1}{:>9.1}{:>9.1}{:>9.1}{:>9.1}{:>10.1}   {}",
            program.name,
            row.steps.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
            row.alive as f64 / 1e6,
            row.peak as f64 / 1e6,
            row.steps.iter().sum::<u64>() as f64 / row.total as f64 * 100.0,
            program.why,
        );
    }
    out.push_str(&coroutines()?);
    print!("{out}");
    Ok(())
}

struct Row {
    /// Nanoseconds, sorted.
    steps: Vec<u64>,
    total: u64,
    alive: usize,
    peak: usize,
}

fn now() -> u64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

fn measure(source: &str) -> Result<Row, String> {
    let vm = Vm::new();
    vm.enter(stdlib::open);
    let chunk = vm.enter(|cx| match cx.load(source.as_bytes(), b"=gc", cx.globals()) {
        Ok(f) => Ok(cx.stash(::vm::Value::closure(f))),
        Err(e) => Err(String::from_utf8_lossy(&cx.raw_tostring(e)).into_owned()),
    })?;
    let failed = |failure: stdlib::runner::Failure| String::from_utf8_lossy(&failure.message).into_owned();
    let garbage = stdlib::runner::evaluate(&vm, &chunk, &[]).map_err(failed)?;
    vm.collect_all();
    let alive = vm.memory();
    let (mut steps, mut peak) = (Vec::new(), alive);
    let id = vm.start(garbage.first().ok_or("no function")?);
    let begin = now();
    loop {
        let mut fuel = SLICE;
        let step = vm.run(id, Wake::Go, Lent { host: &mut (), phase: 0, fuel: &mut fuel });
        peak = peak.max(vm.memory());
        let before = now();
        vm.collect(DEBT);
        steps.push(now() - before);
        match step {
            Step::OutOfFuel => {}
            Step::Done => break,
            _ => return Err("the program failed".to_string()),
        }
    }
    let total = now() - begin;
    steps.sort_unstable();
    Ok(Row { steps, total, alive, peak })
}

/// Bytes a suspended coroutine takes, beside lua5.4's.
fn coroutines() -> Result<String, String> {
    const SOURCE: &str = "collectgarbage() local before = collectgarbage('count') * 1024
        local all = {} for i = 1, 50000 do local co = coroutine.wrap(function(a) coroutine.yield(a) end) co(i) all[i] = co end
        collectgarbage() collectgarbage() print((collectgarbage('count') * 1024 - before) / 50000)";
    let vm = Vm::new();
    vm.enter(stdlib::open);
    let file = std::env::temp_dir().join(format!("perilune-bench-{}.lua", std::process::id()));
    std::fs::write(&file, SOURCE).map_err(|error| error.to_string())?;
    let theirs = std::process::Command::new("lua5.4").arg(&file).output();
    let _ = std::fs::remove_file(&file);
    let theirs = theirs.ok().and_then(|o| String::from_utf8_lossy(&o.stdout).trim().parse::<f64>().ok());
    let before = vm.memory();
    let source = "all = {} for i = 1, 50000 do
        local co = coroutine.wrap(function(a) coroutine.yield(a) end) co(i) all[i] = co end";
    stdlib::runner::run(&vm, source.as_bytes(), b"=coroutines", &[])
        .map_err(|failure| String::from_utf8_lossy(&failure.message).into_owned())?;
    vm.collect_all();
    let ours = (vm.memory() - before) as f64 / 50_000.0;
    Ok(match theirs {
        Some(theirs) => {
            format!(
                "50,000 suspended coroutines: {ours:.0} bytes each, lua5.4 {theirs:.0}, ratio {:.2}\n",
                ours / theirs
            )
        }
        None => format!("50,000 suspended coroutines: {ours:.0} bytes each\n"),
    })
}
