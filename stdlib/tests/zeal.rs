//! The language programs, and the benchmarks' beginnings, in machines that collect wherever they may.
//!
//! `ZEAL=1000` tries so many seeds instead of two. What the programs print is looked at by `language.rs`; here nothing may break.
//! The other tests run in zeal when they are built for it: `cargo test -p perilune-vm -p perilune-stdlib --features zeal`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use vm::{Call, Lent, Outcome, Reply, Row, Step, Vm, Wake, row};

#[global_allocator]
static ALLOCATOR: vm::Allocator = vm::Allocator;

static PRINT: &[Row] =
    &[row("print", |_: &mut Call<'_, '_>| -> Reply<'_> { Ok(Outcome::Return) }, "print(...): nothing")];

/// Runs a program with so many units of fuel in all; it may end before, or be killed.
fn run(path: &Path, seed: u64, fuel: i64) {
    let vm = Vm::new();
    vm.enter(|cx| {
        stdlib::open(cx);
        cx.register(cx.globals(), PRINT);
    });
    vm.set_zeal(seed);
    let source = fs::read(path).unwrap();
    let f = vm.enter(|cx| match cx.load(&source, b"=t", cx.globals()) {
        Ok(f) => cx.stash(vm::Value::closure(f)),
        Err(e) => panic!("{}: {}", path.display(), cx.raw_tostring(e).escape_ascii()),
    });
    let id = vm.start(&f);
    let mut left = fuel;
    while left > 0 {
        match vm.run(id, Wake::Go, Lent { host: &mut (), phase: 0, fuel: &mut left }) {
            Step::OutOfFuel => vm.collect(256.0),
            Step::Error => {
                let error = stdlib::runner::failure(&vm, id);
                panic!("{} with seed {seed}: {}", path.display(), error.message.escape_ascii());
            }
            _ => break,
        }
    }
}

fn programs(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut found: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "lua"));
    found.sort();
    assert!(found.len() > 1);
    found
}

fn seeds() -> std::ops::RangeInclusive<u64> {
    1..=std::env::var("ZEAL").ok().and_then(|n| n.parse().ok()).unwrap_or(2)
}

#[test]
fn language_programs() {
    for path in programs("tests/language").iter().chain(&programs("tests/zeal")) {
        for seed in seeds() {
            run(path, seed, 1 << 40);
        }
    }
}

#[test]
fn benchmarks() {
    for path in programs("../bench/lua") {
        for seed in seeds() {
            run(&path, seed, 5_000);
        }
    }
}
