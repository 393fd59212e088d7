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
    pub(crate) threads: Threads,
    /// The sockets that it and its subrequests connected; they end with it.
    pub(crate) sockets: OnceCell<Rc<RefCell<Sockets>>>,
    subrequests: OnceCell<Subrequests>,
    /// How many requests this one is a subrequest of, one inside the other.
    pub(crate) depth: usize,
    /// What `ngx.arg` shows in the body filter: the chunk and whether it is the last.
    pub(crate) filter: Option<FilterArg>,
    /// Alive while a light thread reads the request body.
    pub(crate) reading_body: Weak<()>,
    seldom: Option<Box<Seldom>>,
}

/// Light threads that wait for subrequests.
pub(crate) type Subrequests = Rc<RefCell<Vec<ThreadId>>>;

/// What few requests have, made with the first of it.
#[derive(Default)]
pub(crate) struct Seldom {
    /// With lua_code_cache off: that the request's own VM is to live as long as it does.
    pub hold: Option<crate::worker::Hold>,
    /// The arguments of a set_by_lua directive, and its value.
    pub set_args: Vec<Vec<u8>>,
    /// The request body that `ngx.req.init_body` began.
    pub new_body: Option<Vec<u8>>,
    /// Bytes of it that may stay in memory.
    pub new_body_buffer: usize,
    /// What `ngx.on_abort` registered.
    pub on_abort: OnAbort,
    /// The client's connection is Lua's (`ngx.req.socket(true)`).
    pub raw_socket: bool,
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
    /// To change what few requests have.
    pub(crate) fn seldom(&mut self) -> &mut Seldom {
        self.seldom.get_or_insert_default()
    }
    /// To look at it, if there is any.
    pub(crate) fn if_seldom(&self) -> Option<&Seldom> {
        self.seldom.as_deref()
    }
    pub(crate) fn subrequests(&self) -> &Subrequests {
        self.subrequests.get_or_init(Rc::default)
    }
    /// Whether a light thread waits for a subrequest: this one, or (None) any.
    pub(crate) fn awaits_subrequest(&self, thread: Option<ThreadId>) -> bool {
        self.subrequests.get().is_some_and(|list| match thread {
            Some(thread) => list.borrow().contains(&thread),
            None => !list.borrow().is_empty(),
        })
    }
    /// Whether a light thread reads the request body.
    pub(crate) fn is_reading_body(&self) -> bool {
        self.reading_body.strong_count() > 0
    }
    /// Whether the client has gone, and what `ngx.on_abort` registered was started.
    pub(crate) fn has_aborted(&self) -> bool {
        self.if_seldom().is_some_and(|seldom| matches!(seldom.on_abort, OnAbort::Started))
    }
    /// Whether the client's connection is Lua's.
    pub(crate) fn has_raw_socket(&self) -> bool {
        self.if_seldom().is_some_and(|seldom| seldom.raw_socket)
    }
    /// The request begins anew elsewhere (an internal redirect): what Lua kept with it goes.
    pub(crate) fn reset(&mut self) {
        self.ctx = None;
        if let Some(seldom) = &mut self.seldom {
            seldom.on_abort = OnAbort::Nothing;
        }
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
