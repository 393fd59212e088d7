//! The error log as natives and the scheduler see it.
use crate::request::Request;

/// Levels as `ngx.EMERG` .. `ngx.DEBUG` number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    Stderr = 0,
    Emerg = 1,
    Alert = 2,
    Crit = 3,
    Error = 4,
    Warn = 5,
    Notice = 6,
    Info = 7,
    Debug = 8,
}

impl Level {
    pub const NAMES: [&'static str; 9] =
        ["stderr", "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];

    pub fn from_number(n: i64) -> Option<Level> {
        use Level::*;
        [Stderr, Emerg, Alert, Crit, Error, Warn, Notice, Info, Debug].get(usize::try_from(n).ok()?).copied()
    }
    pub fn name(self) -> &'static str {
        Level::NAMES[self as usize]
    }
}

/// Where messages go. The implementation writes time, level, PID#TID, `*CONN`, the message and, for a client's request, the
/// tail `, client: …, server: …, request: "…", host: "…"`.
pub trait Log {
    /// Is a message of this level written at all? Asked first, so that no text is made for nothing.
    fn enabled(&self, level: Level) -> bool;
    /// `request` is None outside of requests; a request without a client (a timer) gets `, context: ngx.timer`.
    fn write(&self, level: Level, message: &[u8], request: Option<&Request>);
}
