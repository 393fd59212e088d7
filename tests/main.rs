//! The server as a whole: started as a process on a free port, talked to over sockets.
#![allow(clippy::unwrap_used)]

mod command;
mod compatibility;
mod conf;
mod faults;
mod fuzz;
mod http;
mod lua;
mod modules;
mod process;
mod readme;
mod redis;
mod reload;
mod request_life;
mod sockets;
mod support;
mod tidy;
mod waiting;
mod wire;
mod worker_threads;
