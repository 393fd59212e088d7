//! The server: configuration (`conf`), command line (`cli`), logs (`log`), workers (`worker`), connections (`conn`) and requests
//! (`http`). Lua and the ngx API are the crates below.
#![forbid(unsafe_code)]

pub mod cli;
pub mod conf;
pub mod conn;
#[cfg(test)]
#[path = "../vm/tests/dice/mod.rs"]
mod dice;
pub mod http;
pub mod log;
pub mod time;
pub mod worker;
