//! One worker's Lua: its VM, its timers, its pools. Made by the server once per worker and configuration.
use std::path::PathBuf;
use std::rc::Rc;

use crate::code::Code;
use crate::log::Log;
use crate::phase::Phase;
use crate::request::{Finish, LuaConf, Request};

/// What the configuration says about Lua as a whole (the http block).
#[derive(Clone, Debug, Default)]
pub struct Setup {
    pub prefix: PathBuf,
    /// lua_package_path with `$prefix` expanded; `;;` stands for the default path. Empty: the default.
    pub package_path: Vec<u8>,
    pub package_cpath: Vec<u8>,
    /// lua_shared_dict: name and bytes. The zones outlive reloads: see `Zones`.
    pub code_cache: bool,
    pub worker_id: usize,
    pub worker_count: usize,
    pub max_running_timers: usize,
    pub max_pending_timers: usize,
    pub conf: LuaConf,
}

/// How Lua of one phase ended.
#[derive(Clone, Debug, PartialEq)]
pub enum PhaseEnd {
    /// The code ran to its end (`return` included): the phases go on.
    Done,
    /// A native asked for it.
    Finish(Finish),
    /// An error: it is logged already. Answer 500 if nothing was sent.
    Failed,
    /// The client went away and lua_check_client_abort is on.
    Aborted,
}

/// The seam to the server; its methods are filled in by the scheduler.
pub trait Runs {
    /// Runs one directive's code for a request. Cancel by dropping.
    fn run_phase<'a>(
        &'a self,
        request: &'a mut Request,
        phase: Phase,
        code: &'a Code,
    ) -> crate::request::Local<'a, PhaseEnd>;
    /// init_by_lua*, init_worker_by_lua*, exit_worker_by_lua*: outside of any request. Err: the message is logged already.
    fn run_worker_phase<'a>(
        &'a self,
        phase: Phase,
        code: &'a Code,
        log: Rc<dyn Log>,
    ) -> crate::request::Local<'a, Result<(), Vec<u8>>>;
    /// Graceful exit: pending timers run with premature = true; resolves when the running ones have ended.
    fn drain<'a>(&'a self) -> crate::request::Local<'a, ()>;
}
