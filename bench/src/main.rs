//! perilune's benchmarks: `cargo run --release -p perilune-bench -- vm` times the Lua machine against its peers, `-- ops` counts
//! the instructions of single operations, `-- gc` measures the collector's steps, `-- shdict` the shared dictionary from two
//! threads, `-- regex` times the regular expressions against PCRE2.
//! (The HTTP benchmark is a script of its own: bench/http/bench.sh.)
#![forbid(unsafe_code)]

mod child;
mod gc;
mod ops;
mod peers;
mod regex;
mod report;
mod shdict;
mod vm;

use std::process::ExitCode;

/// As in the programs that ship: the memory figures are the allocator's.
#[global_allocator]
static ALLOCATOR: ::vm::Allocator = ::vm::Allocator;

const USAGE: &str = "usage: perilune-bench vm [-r ROUNDS] [PROGRAM ...]\n       perilune-bench ops [NAME ...]\n       perilune-bench gc\n       perilune-bench shdict\n       perilune-bench regex [-r ROUNDS] [ROW ...]\n       perilune-bench piccolo FILE";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.split_first().map(|(command, rest)| (command.as_str(), rest)) {
        Some(("vm", rest)) => vm::main(rest),
        Some(("ops", rest)) => ops::main(rest),
        Some(("gc", [])) => gc::main(),
        Some(("shdict", [])) => shdict::main(),
        Some(("regex", rest)) => regex::main(rest),
        Some(("piccolo", [file])) => peers::piccolo(file),
        _ => Err(USAGE.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
