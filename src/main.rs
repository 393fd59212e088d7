//! perilune: an OpenResty-compatible web platform.
#![forbid(unsafe_code)]

#[global_allocator]
static ALLOCATOR: vm::Allocator = vm::Allocator;

fn main() -> std::process::ExitCode {
    perilune::cli::main()
}
