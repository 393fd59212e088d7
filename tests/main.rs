//! The server as a whole: started as a process on a free port, talked to over sockets.
#![allow(clippy::unwrap_used)]

mod conf;
mod faults;
mod http;
mod lua;
mod process;
mod redis;
mod support;
mod waiting;
