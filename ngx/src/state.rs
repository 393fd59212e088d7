//! What this crate keeps with each request between natives: opaque to the server.
use std::cell::{OnceCell, RefCell};
use std::rc::{Rc, Weak};

use vm::{Stashed, ThreadId};

use crate::cosocket::Sockets;
use crate::log::{Level, Log};
use crate::worker::Worker;

#[derive(Default)]
pub struct LuaState {
    /// Whose Lua it is; set when Lua first runs for the request.
    pub(crate) worker: Option<Rc<Worker>>,
    /// The table `ngx.ctx`, once it was touched.
    pub(crate) ctx: Option<CtxTable>,
    /// With lua_code_cache off: that the request's own VM is to live as long as it does.
    pub(crate) hold: Option<crate::worker::Hold>,
    pub(crate) threads: Threads,
    /// What `ngx.arg` shows in the body filter: the chunk and whether it is the last.
    pub(crate) filter: Option<FilterArg>,
    /// The arguments of a set_by_lua directive, and its value.
    pub(crate) set_args: Vec<Vec<u8>>,
    /// The request body that `ngx.req.init_body` began.
    pub(crate) new_body: Option<Vec<u8>>,
    /// Bytes of it that may stay in memory.
    pub(crate) new_body_buffer: usize,
    /// What `ngx.on_abort` registered.
    pub(crate) on_abort: OnAbort,
    /// Alive while a light thread reads the request body.
    pub(crate) reading_body: Weak<()>,
    /// The client's connection is Lua's (`ngx.req.socket(true)`).
    pub(crate) raw_socket: bool,
    /// The sockets that it and its subrequests connected; they end with it.
    pub(crate) sockets: OnceCell<Rc<RefCell<Sockets>>>,
    /// Light threads that wait for subrequests.
    pub(crate) subrequests: Rc<RefCell<Vec<ThreadId>>>,
    /// How many requests this one is a subrequest of, one inside the other.
    pub(crate) depth: usize,
}

/// `ngx.ctx`. The log learns when it goes.
pub(crate) struct CtxTable {
    pub table: Stashed,
    log: Option<Rc<dyn Log>>,
}

impl CtxTable {
    pub fn new(table: Stashed, log: &Rc<dyn Log>) -> CtxTable {
        CtxTable { table, log: log.enabled(Level::Debug).then(|| log.clone()) }
    }
}

impl Drop for CtxTable {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            let words = format!("lua release ngx.ctx at ref {}", self.table.slot());
            log.write(Level::Debug, words.as_bytes(), None);
        }
    }
}

impl LuaState {
    /// The request begins anew elsewhere (an internal redirect): what Lua kept with it goes.
    pub(crate) fn reset(&mut self) {
        self.ctx = None;
        self.on_abort = OnAbort::Nothing;
    }
}

#[derive(Default)]
pub(crate) enum OnAbort {
    #[default]
    Nothing,
    Registered(Stashed),
    /// The client has gone, and the callback was started.
    Started,
}

#[derive(Debug, Default)]
pub(crate) struct FilterArg {
    pub chunk: Vec<u8>,
    pub last: bool,
}

/// The light threads of the running phase that are not its entry thread.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    pub list: Vec<LightThread>,
    /// The thread whose turn it is.
    pub current: Option<ThreadId>,
    pub entry: Option<ThreadId>,
    /// Threads a native killed in this slice: the scheduler drops what they waited for, outside the arena.
    pub killed: Vec<ThreadId>,
}

#[derive(Debug)]
pub(crate) struct LightThread {
    pub id: ThreadId,
    /// The address of the coroutine that spawned it: only that one may wait for it or kill it.
    pub parent: usize,
    /// It has ended, and nobody has asked for its results yet.
    pub zombie: bool,
}

impl std::fmt::Debug for LuaState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LuaState").field("threads", &self.threads).finish_non_exhaustive()
    }
}
