//! perilune: an OpenResty-compatible web platform.
#![forbid(unsafe_code)]

<<<<<<< HEAD
=======
/// Counts each VM's memory, for limits and `collectgarbage("count")`; faster than the system's, too.
>>>>>>> dev-g
#[global_allocator]
static ALLOCATOR: vm::Allocator = vm::Allocator;

fn main() -> std::process::ExitCode {
    perilune::cli::main()
}
