//! The ngx API on perilune's Lua machine.
//!
//! Knows requests, sockets and timers; has never heard of nginx.conf, nor of bytes on the wire. The server drives requests through
//! [`worker::Worker`] and implements [`request::Exchange`] and [`log::Log`].
#![forbid(unsafe_code)]

pub mod alarm;
mod api;
pub use stdlib::clock;
pub mod bytes;
pub mod captured;
pub mod code;
mod cosocket;
#[cfg(test)]
#[path = "../../vm/tests/dice/mod.rs"]
mod dice;
pub mod encoding;
pub mod gauges;
pub mod headers;
pub mod log;
pub mod now;
pub mod phase;
mod pipe;
pub mod places;
pub mod regex;
pub mod request;
pub mod resolver;
mod sched;
pub mod shdict;
pub mod state;
pub mod stream;
pub mod thread_pool;
mod timers;
pub mod tls;
pub mod trace;
pub mod turn;
pub mod uri;
pub mod worker;

pub use api::req::METHODS;
