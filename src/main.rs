//! perilune: an OpenResty-compatible web platform.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    perilune::cli::main()
}
