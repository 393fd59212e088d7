//! One worker's Lua: its VM, its timers, its pools. Made by the server once per worker and configuration.
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use vm::native::{failed_in, traceback_of};
use vm::{Stashed, ThreadId, Value, Vm};

use crate::code::{Code, Source};
use crate::gauges::Gauges;
use crate::log::{Level, Log};
use crate::phase::Phase;
use crate::places::Places;
use crate::request::{Finish, LuaConf, Request};
use crate::resolver::Resolver;
use crate::sched::Run;
use crate::shdict::Zone;
use crate::timers::Timers;

/// What the configuration says about Lua as a whole (the http block).
#[derive(Clone, Default)]
pub struct Setup {
    /// The server's prefix, with a slash at its end.
    pub prefix: PathBuf,
    /// lua_package_path with `$prefix` expanded; `;;` stands for the default path. Empty: the default.
    pub package_path: Vec<u8>,
    pub package_cpath: Vec<u8>,
    /// Whether compiled code is kept; not by a machine that serves one request only (lua_code_cache off).
    pub code_cache: bool,
    pub worker_id: usize,
    pub worker_count: usize,
    /// lua_max_running_timers, lua_max_pending_timers; 0: nginx-lua's defaults (256, 1024).
    pub max_running_timers: usize,
    pub max_pending_timers: usize,
    /// lua_thread_cache_max_entries (None: 1024): with 0 the log says nothing of places for threads that are used again.
    pub thread_cache_max_entries: Option<usize>,
    /// master_process off: the process is its own master.
    pub single: bool,
    /// The http block's lua_* directives: for timers and init_worker.
    pub conf: LuaConf,
    /// lua_shared_dict zones by name: the same `Arc`s for all workers, and across reloads.
    pub zones: Vec<Arc<Zone>>,
    /// Environment of `ngx.config.subsystem`, `prefix()`, `nginx_configure()`.
    pub configure: &'static str,
    pub log: Option<Rc<dyn Log>>,
    /// The pools of `ngx.run_worker_thread`, shared by all machines of one worker.
    pub pools: Option<Rc<crate::thread_pool::ThreadPools>>,
    /// lua_capture_error_log: the error log's latest lines.
    pub captured: Option<Arc<crate::captured::Captured>>,
    /// lua_regex_cache_max_entries (None: 1024), lua_regex_match_limit (0: PCRE's default).
    pub regex_cache_max_entries: Option<usize>,
    pub regex_match_limit: u64,
    /// What the machines of one worker are doing.
    pub gauges: Arc<Gauges>,
    /// `worker_connections`.
    pub places: Rc<Places>,
    /// Bytes one VM may use; 0: no limit.
    pub memory_limit: usize,
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

pub struct Worker {
    pub(crate) vm: Vm,
    pub setup: Setup,
    pub(crate) log: Rc<dyn Log>,
    functions: RefCell<Vec<Option<Rc<Stashed>>>>,
    pub(crate) timers: Timers,
    pub(crate) sockets: Rc<crate::cosocket::Pools>,
    /// What is known of names.
    pub(crate) names: Resolver,
    /// The time zone, as it was when the worker started.
    pub(crate) zone: crate::clock::Zone,
    /// Compiled patterns of ngx.re.
    pub(crate) patterns: Rc<crate::api::patterns::Cache>,
    /// The worker is on its way out (quit, or a reload replaced its configuration).
    exiting: Cell<bool>,
    poisoned: Cell<bool>,
    /// How many places for threads were ever used.
    slots: Cell<u32>,
    /// How many requests and timers need this machine, if it is not the worker's own.
    holds: Cell<usize>,
}

/// Keeps a machine that is not the worker's own, and says in the log how many still need it when one goes.
pub(crate) struct Hold {
    worker: Rc<Worker>,
    log: Rc<dyn Log>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let count = self.worker.holds.get();
        self.worker.holds.set(count - 1);
        if self.log.enabled(Level::Debug) {
            let words = format!("lua decrementing the reference count for Lua VM: {count}");
            self.log.write(Level::Debug, words.as_bytes(), None);
            if count == 1 {
                self.log.write(Level::Debug, b"lua close the global Lua VM", None);
            }
        }
    }
}

impl Worker {
    /// A fresh VM with every library; no Lua has run yet.
    pub fn new(setup: Setup, log: Rc<dyn Log>) -> Rc<Worker> {
        let vm = Vm::new();
        vm.limit_memory(setup.memory_limit);
        let timers = Timers::new(setup.max_running_timers, setup.max_pending_timers, &setup.gauges);
        let patterns = crate::api::patterns::Cache::new(setup.regex_cache_max_entries, setup.regex_match_limit);
        let sockets = crate::cosocket::Pools::new(log.clone(), setup.gauges.clone());
        let names = Resolver::new(log.clone());
        let worker = Rc::new(Worker {
            vm,
            setup,
            log,
            functions: RefCell::default(),
            timers,
            sockets,
            names,
            zone: crate::clock::Zone::local(),
            patterns,
            exiting: Cell::new(false),
            poisoned: Cell::new(false),
            slots: Cell::new(0),
            holds: Cell::new(0),
        });
        worker.vm.enter(|cx| {
            stdlib::open(cx);
            crate::api::open(cx, &worker);
            stdlib::package::publish(cx);
            let setup = &worker.setup;
            let paths = [("path", "LUA_PATH", &setup.package_path), ("cpath", "LUA_CPATH", &setup.package_cpath)];
            for (name, variable, path) in paths {
                if let Some(path) = std::env::var_os(variable) {
                    stdlib::package::set_path(cx, name, path.as_encoded_bytes());
                }
                if !path.is_empty() {
                    stdlib::package::set_path(cx, name, path);
                }
            }
        });
        worker
    }

    /// Whether a thread ran in that place before; from now on one did.
    pub(crate) fn knows_slot(&self, slot: u32) -> bool {
        let known = slot < self.slots.get();
        self.slots.set(self.slots.get().max(slot + 1));
        known
    }

    /// One more needs this machine; None if it is the worker's own, which stays anyhow.
    pub(crate) fn hold(self: &Rc<Self>, log: &Rc<dyn Log>) -> Option<Hold> {
        if self.setup.code_cache {
            return None;
        }
        self.holds.set(self.holds.get() + 1);
        Some(Hold { worker: self.clone(), log: log.clone() })
    }

    /// The request's Lua runs here from now on.
    fn adopt(self: &Rc<Self>, request: &mut Request) {
        if request.lua.worker.as_ref().is_some_and(|known| Rc::ptr_eq(known, self)) {
            return;
        }
        if request.lua.worker.is_some() {
            // What it kept is in another machine.
            request.lua.reset();
        }
        if let Some(hold) = self.hold(&request.log) {
            request.lua.seldom().hold = Some(hold);
        }
        request.lua.worker = Some(self.clone());
    }

    /// Runs one directive's code for a request. Cancel by dropping.
    pub async fn run_phase(self: &Rc<Self>, request: &mut Request, phase: Phase, code: &Code) -> PhaseEnd {
        let outer = std::mem::replace(&mut request.phase, phase);
        self.adopt(request);
        let end = match self.function(code) {
            Ok(function) => Run::call(self, &function, request).await,
            Err(message) => {
                let words = [code.load_failure().as_bytes(), &message].concat();
                self.log_for(request, Level::Error, &words);
                self.setup.gauges.scripts.add(1);
                self.setup.gauges.failed.add(1);
                PhaseEnd::Failed
            }
        };
        // A chain of phases goes on as itself; only nested runs (filters) give the phase back.
        if matches!(phase, Phase::HeaderFilter | Phase::BodyFilter | Phase::Set) {
            request.phase = outer;
        }
        end
    }

    /// init_by_lua*, init_worker_by_lua*, exit_worker_by_lua*: outside of any request. Err: the message, as it is to be logged.
    pub async fn run_worker_phase(self: &Rc<Self>, phase: Phase, code: &Code) -> Result<(), Vec<u8>> {
        let function = self.function(code)?;
        let mut request = self.bare_request(phase, None);
        let id = self.vm.start(&function);
        Run::new(self.clone(), id).run_quietly(&mut request).await
    }

    /// Graceful exit: pending timers run with premature = true; resolves when the running ones have ended.
    pub async fn drain(self: &Rc<Self>) {
        self.exiting.set(true);
        self.setup.gauges.exiting.store(true, Ordering::Relaxed);
        self.timers.exit(&*self.log);
        self.timers.idle().await;
        self.sockets.close();
    }

    /// The worker is on its way out.
    pub fn is_exiting(&self) -> bool {
        self.exiting.get()
    }
    /// A panic happened inside the VM: it is to be replaced.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.get()
    }
    /// Bytes in use by Lua.
    pub fn memory(&self) -> usize {
        self.vm.memory()
    }

    pub(crate) fn poison(&self, request: &Request) {
        self.poisoned.set(true);
        self.log_for(request, Level::Alert, b"panic inside the Lua VM: its requests end with 500, a new VM takes over");
    }
    pub(crate) fn aborts(&self, request: &Request) -> bool {
        request.exchange.lua_conf().check_client_abort
    }
    pub(crate) fn log_for(&self, request: &Request, level: Level, words: &[u8]) {
        if request.log.enabled(level) {
            request.log.write(level, words, Some(request));
        }
    }

    /// A request without a client, for timers and the worker's own phases.
    pub(crate) fn bare_request(self: &Rc<Self>, phase: Phase, like: Option<&Request>) -> Request {
        let mut request =
            Request::bare(self.log.clone(), Rc::new(crate::request::NoClient::new(self.setup.conf.clone())));
        if let Some(like) = like {
            request.connection = like.connection.clone();
            request.log = like.log.clone();
        }
        request.phase = phase;
        request.lua.worker = Some(self.clone());
        request
    }

    /// The directive's function in this VM; compiled on first use (each time with lua_code_cache off).
    fn function(&self, code: &Code) -> Result<Rc<Stashed>, Vec<u8>> {
        if self.setup.code_cache
            && let Some(Some(function)) = self.functions.borrow().get(code.id)
        {
            return Ok(function.clone());
        }
        let source = match &code.source {
            Source::Inline(source) => source.to_vec(),
            Source::File(path) => std::fs::read(path)
                .map_err(|e| format!("cannot open {}: {}", path.display(), stdlib::io_error(&e)).into_bytes())?,
        };
        let function = Rc::new(self.compile(&source, &code.chunk_name)?);
        if self.setup.code_cache {
            let mut known = self.functions.borrow_mut();
            if known.len() <= code.id {
                known.resize(code.id + 1, None);
            }
            known[code.id] = Some(function.clone());
        }
        Ok(function)
    }

    fn compile(&self, source: &[u8], chunk_name: &[u8]) -> Result<Stashed, Vec<u8>> {
        self.vm.enter(|cx| {
            let main = cx.load(source, chunk_name, cx.globals()).map_err(|e| cx.raw_tostring(e))?;
            Ok(cx.stash(Value::closure(main)))
        })
    }

    /// The words of a failed thread's error, with the traceback as OpenResty logs it: of all its coroutines, the one that failed
    /// first, or where it runs Lua as a mere call (`plain`), of that call.
    pub(crate) fn failure(&self, id: ThreadId, plain: bool) -> Vec<u8> {
        self.vm.enter(|cx| {
            let Some(thread) = cx.thread(id) else { return Vec::new() };
            let error = cx.results_of(thread).and_then(|(_, v)| v.first().copied()).unwrap_or(Value::NIL);
            let mut text = match cx.to_str(error) {
                Some(s) => s.bytes().to_vec(),
                None => b"unknown reason".to_vec(),
            };
            text.extend_from_slice(b"\nstack traceback:");
            let mut chain = vec![thread];
            while let Some(inner) = failed_in(chain[chain.len() - 1]).filter(|_| !plain && chain.len() < MAX_COROUTINES)
            {
                chain.push(inner);
            }
            for (number, coroutine) in chain.into_iter().rev().enumerate() {
                if !plain {
                    text.extend_from_slice(format!("\ncoroutine {number}:").as_bytes());
                }
                let lines = traceback_of(coroutine, 0);
                text.extend_from_slice(lines.strip_prefix(b"stack traceback:").unwrap_or(&lines));
            }
            text
        })
    }

    /// Starts a task that belongs to this worker.
    pub(crate) fn task(&self, job: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(job);
    }
}

/// So many coroutines a traceback shows.
const MAX_COROUTINES: usize = 32;

impl Code {
    /// How the log says that it could not be loaded.
    fn load_failure(&self) -> String {
        match &self.source {
            Source::Inline(_) => "failed to load inlined Lua code: ".into(),
            Source::File(path) => format!("failed to load external Lua file \"{}\": ", path.display()),
        }
    }
}

/// The two phases that take more than a request and give more than an end.
impl Worker {
    /// body_filter_by_lua*: one chunk of the response and whether it is the last, as `ngx.arg`; gives back both as they are
    /// afterwards.
    pub async fn run_body_filter(
        self: &Rc<Self>,
        request: &mut Request,
        code: &Code,
        chunk: Vec<u8>,
        last: bool,
    ) -> Result<(Vec<u8>, bool), PhaseEnd> {
        let outer = request.lua.filter.replace(crate::state::FilterArg { chunk, last });
        let end = self.run_phase(request, Phase::BodyFilter, code).await;
        let filter = std::mem::replace(&mut request.lua.filter, outer).unwrap_or_default();
        match end {
            PhaseEnd::Done | PhaseEnd::Finish(Finish::Exit(0)) => Ok((filter.chunk, filter.last)),
            end => Err(end),
        }
    }

    /// set_by_lua*: the value for the variable, from the directive's arguments.
    pub async fn run_set(
        self: &Rc<Self>,
        request: &mut Request,
        code: &Code,
        args: Vec<Vec<u8>>,
    ) -> Result<Vec<u8>, PhaseEnd> {
        let function = match self.function(code) {
            Ok(function) => function,
            // Says why the code cannot be loaded.
            Err(_) => return Err(self.run_phase(request, Phase::Set, code).await),
        };
        let outer = std::mem::replace(&mut request.phase, Phase::Set);
        let outer_args = std::mem::replace(&mut request.lua.seldom().set_args, args);
        self.adopt(request);
        let id = self.vm.start(&function);
        let mut run = Run::new(self.clone(), id);
        let end = run.run_quietly(request).await;
        request.phase = outer;
        request.lua.seldom().set_args = outer_args;
        match end {
            Ok(()) => Ok(self.vm.enter(|cx| {
                let results = cx.thread(id).and_then(|thread| cx.results_of(thread));
                match results.and_then(|(_, values)| values.first().copied()) {
                    Some(value) if !value.is_nil() => cx.raw_tostring(value),
                    _ => Vec::new(),
                }
            })),
            Err(text) => {
                let words = [b"failed to run set_by_lua*: ".as_slice(), &text].concat();
                self.log_for(request, Level::Error, &words);
                Err(PhaseEnd::Failed)
            }
        }
    }
}
