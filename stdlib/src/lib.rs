//! Lua's standard library for perilune's machine: one file a library, one table of natives a file.
#![forbid(unsafe_code)]

pub mod base;
pub mod bit;
pub mod buffer;
pub mod cjson;
pub mod clock;
pub mod coroutine;
pub mod debug;
pub mod io;
pub mod jit;
pub mod math;
pub mod os;
pub mod package;
pub mod runner;
pub mod string;
pub mod table;

use vm::Cx;

/// Registers every library.
pub fn open(cx: Cx<'_>) {
    base::open(cx);
    coroutine::open(cx);
    bit::open(cx);
    debug::open(cx);
    io::open(cx);
    jit::open(cx);
    math::open(cx);
    os::open(cx);
    string::open(cx);
    table::open(cx);
    package::open(cx);
    table::preload(cx);
    coroutine::preload(cx);
    jit::preload(cx);
    buffer::open(cx);
    cjson::open(cx);
}

/// An operating system's error as C's strerror words it (Rust adds the number).
pub fn io_error(e: &std::io::Error) -> String {
    let text = e.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_string(),
        None => text,
    }
}
