//! The server as a whole: started as a process on a free port, talked to over sockets.
#![allow(clippy::unwrap_used)]

mod command;
mod compatibility;
mod conf;
mod faults;
mod http;
mod lua;
mod modules;
mod process;
mod readme;
mod redis;
mod request_life;
mod sockets;
mod support;
mod tidy;
mod waiting;
<<<<<<< HEAD
mod worker_threads;
=======
mod wire;
>>>>>>> 4f7608e (Bytes are judged as nginx judges them: tabs, bare CR, schemes, chunk ends, duplicates; 678 wire cases with nginx's verdicts)
