//! Prints the instructions of a Lua file: `cargo run -p perilune-vm --example disasm -- FILE`.
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: disasm FILE");
        return ExitCode::FAILURE;
    };
    let source = match std::fs::read(&path) {
        Ok(source) => source,
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::FAILURE;
        }
    };
    match vm::compile::compile(&source, format!("@{path}").as_bytes()) {
        Ok(chunk) => {
            print!("{}", vm::code::disasm::disasm(&chunk));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", String::from_utf8_lossy(&error.message));
            ExitCode::FAILURE
        }
    }
}
