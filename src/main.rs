//! perilune: an OpenResty-compatible web platform.
#![forbid(unsafe_code)]

// Faster than the system's for small blocks, and it counts: memory limits need an exact figure per worker.
#[global_allocator]
static ALLOCATOR: vm::Allocator = vm::Allocator;

fn main() -> std::process::ExitCode {
    perilune::cli::main()
}
