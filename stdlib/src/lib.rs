//! Lua's standard library for perilune's machine: one file a library, one table of natives a file.
#![forbid(unsafe_code)]

pub mod base;
pub mod coroutine;
pub mod math;
pub mod runner;
pub mod string;
pub mod table;

use vm::Cx;

/// Registers every library.
pub fn open(cx: Cx<'_>) {
    base::open(cx);
    coroutine::open(cx);
    math::open(cx);
    string::open(cx);
    table::open(cx);
}

/// An operating system's error as C's strerror words it (Rust adds the number).
pub fn io_error(e: &std::io::Error) -> String {
    let text = e.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_string(),
        None => text,
    }
}
