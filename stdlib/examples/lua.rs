//! Runs a Lua file: the smallest host there is.
use std::io::Write;

#[global_allocator]
static ALLOCATOR: vm::Allocator = vm::Allocator;

fn main() -> std::process::ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: lua FILE");
        return 2.into();
    };
    let source = match std::fs::read(&path) {
        Ok(source) => source,
        Err(e) => {
            eprintln!("lua: cannot open {path}: {e}");
            return 1.into();
        }
    };
    let vm = vm::Vm::new();
    vm.enter(stdlib::open);
    match stdlib::runner::run(&vm, &source, format!("@{path}").as_bytes(), &[]) {
        Ok(()) => 0.into(),
        Err(failure) => {
            let mut stderr = std::io::stderr().lock();
            let _ = stderr.write_all(&[b"lua: ", &failure.message[..], b"\n", &failure.traceback, b"\n"].concat());
            1.into()
        }
    }
}
