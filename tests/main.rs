//! The server as a whole: started as a process on a free port, talked to over sockets.
#![allow(clippy::unwrap_used)]

mod classics;
mod command;
mod compatibility;
mod conf;
#[path = "../vm/tests/dice/mod.rs"]
mod dice;
mod fault_matrix;
mod faults;
mod fuzz;
mod http;
mod lua;
mod lua_directives;
mod lua_module;
mod lualib;
mod modules;
mod process;
mod readme;
mod redis;
mod reload;
mod request_life;
mod resty;
mod set_misc;
mod sockets;
mod status;
mod support;
mod tidy;
mod tls;
mod tls_conf;
#[cfg(feature = "trace")]
mod trace;
mod waiting;
mod waiting_everywhere;
mod wire;
mod worker_threads;
