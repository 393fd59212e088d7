//! The ngx API on perilune's Lua machine.
//!
//! Knows requests, sockets and timers; has never heard of nginx.conf, nor of hyper. The server drives requests through
//! [`worker::Worker`] and implements [`request::Exchange`] and [`log::Log`].
#![forbid(unsafe_code)]

pub mod clock;
pub mod code;
pub mod encoding;
pub mod headers;
pub mod log;
pub mod phase;
pub mod request;
pub mod shdict;
pub mod state;
pub mod uri;
pub mod worker;
