//! Makes a worker's Lua from the configuration: the one place where the server and the ngx crate's machinery meet.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex};

use ngx::code::Code;
use ngx::log::Log;
use ngx::phase::Phase;
use ngx::places::Places;
use ngx::request::Request;
use ngx::shdict::Zone;
use ngx::thread_pool::ThreadPools;
use ngx::worker::{PhaseEnd, Setup, Worker as Machine};

use crate::conf::tree::{Http, Main};
use crate::log::Plain;

/// What the configuration says, in the ngx crate's terms.
pub fn setup(main: &Main, http: &Http, worker_id: usize) -> Setup {
    let count = |value: Option<u64>, default: usize| {
        value.map_or(default, |value| usize::try_from(value).unwrap_or(usize::MAX))
    };
    let prefix = main.prefix.as_os_str().as_encoded_bytes();
    let expand = |path: &Option<Vec<u8>>| expand_prefix(path.as_deref().unwrap_or_default(), prefix);
    Setup {
        prefix: main.prefix.clone(),
        package_path: expand(&http.lua.package_path),
        package_cpath: expand(&http.lua.package_cpath),
        code_cache: true,
        worker_id,
        worker_count: main.worker_processes,
        max_running_timers: count(http.lua.max_running_timers, 256),
        max_pending_timers: count(http.lua.max_pending_timers, 1024),
        thread_cache_max_entries: http.lua.thread_cache_max_entries.map(|n| count(Some(n), 0)),
        single: !main.master_process,
        conf: super::lua_conf(&http.settings),
        zones: zones(http),
        configure: crate::cli::identity::CONFIGURE,
        log: None,
        gauges: Arc::default(),
        pools: None,
        captured: http.lua.captured.clone(),
        regex_cache_max_entries: http.lua.regex_cache_max_entries.map(|n| count(Some(n), 0)),
        regex_match_limit: http.lua.regex_match_limit.unwrap_or(0),
        // As LuaJIT without GC64 has it: more than any handler needs, less than takes the machine down.
        memory_limit: 2 << 30,
        places: Places::new(main.worker_connections, http.listens.len() + usize::from(main.master_process)),
    }
}

/// The worker's thread pools; their machines are like the worker's own, without pools.
pub fn pools(main: &Arc<Main>, http: &Arc<Http>, id: usize, log: &Plain) -> ThreadPools {
    let size = http.lua.worker_thread_vm_pool_size.map_or(10, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let (main, http, log) = (main.clone(), http.clone(), log.clone());
    let confs = main.thread_pools.clone();
    let maker = move || Machine::new(setup(&main, &http, id), Rc::new(log.clone()));
    ThreadPools::new(confs, size, Arc::new(maker))
}

/// `$prefix` and `${prefix}` in package paths.
fn expand_prefix(path: &[u8], prefix: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = memchr::memchr(b'$', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix(b"${prefix}").or(rest.strip_prefix(b"$prefix")) {
            out.extend_from_slice(prefix);
            rest = after;
        } else {
            out.push(b'$');
            rest = &rest[1..];
        }
    }
    out.extend_from_slice(rest);
    out
}

/// One worker's VM, as the phases see it. A VM that panicked is replaced by a fresh one; its requests end with errors.
pub struct WorkerVm {
    now: RefCell<Rc<Machine>>,
    log: Rc<dyn Log>,
    init: Option<Arc<Code>>,
    /// Machines of single requests (lua_code_cache off), which their timers keep.
    others: RefCell<Vec<Weak<Machine>>>,
}

impl WorkerVm {
    pub fn create(setup: Setup, log: Rc<dyn Log>, init: Option<Arc<Code>>) -> WorkerVm {
        WorkerVm { now: RefCell::new(Machine::new(setup, log.clone())), log, init, others: RefCell::default() }
    }

    async fn machine(&self) -> Rc<Machine> {
        let machine = self.now.borrow().clone();
        if !machine.is_poisoned() {
            return machine;
        }
        // (on the heap: it is rare, and as a part of every request's task it would be large)
        let fresh = Box::pin(self.fresh(&machine, true)).await;
        *self.now.borrow_mut() = fresh.clone();
        fresh
    }

    /// A new VM, with init_by_lua run.
    async fn fresh(&self, like: &Machine, code_cache: bool) -> Rc<Machine> {
        let setup = Setup { code_cache, ..like.setup.clone() };
        let fresh = Machine::new(setup, self.log.clone());
        if let Some(init) = &self.init {
            // What failed at the start would have failed the start.
            let _ = fresh.run_worker_phase(Phase::Init, init).await;
        }
        fresh
    }

    /// The VM of a request: the worker's, or with lua_code_cache off one of its own.
    async fn machine_for(&self, request: &Request) -> Rc<Machine> {
        let machine = self.machine().await;
        if request.exchange.lua_conf().code_cache {
            return machine;
        }
        match request.lua_worker() {
            Some(own) if !own.setup.code_cache => own,
            _ => {
                let own = Box::pin(self.fresh(&machine, false)).await;
                let mut others = self.others.borrow_mut();
                others.retain(|other| other.strong_count() > 0);
                others.push(Rc::downgrade(&own));
                own
            }
        }
    }

    pub async fn run_phase(&self, request: &mut Request, phase: Phase, code: &Code) -> PhaseEnd {
        self.machine_for(request).await.run_phase(request, phase, code).await
    }

    /// body_filter_by_lua*: one chunk of the response, and whether it is the last; gives back both, maybe changed.
    pub async fn body_filter(
        &self,
        request: &mut Request,
        code: &Code,
        chunk: Vec<u8>,
        last: bool,
    ) -> Result<(Vec<u8>, bool), PhaseEnd> {
        self.machine_for(request).await.run_body_filter(request, code, chunk, last).await
    }

    /// set_by_lua*: the value, from the arguments.
    pub async fn set(&self, request: &mut Request, code: &Code, args: Vec<Vec<u8>>) -> Result<Vec<u8>, PhaseEnd> {
        self.machine_for(request).await.run_set(request, code, args).await
    }

    /// init_by_lua*, init_worker_by_lua*, exit_worker_by_lua*. Err: the message, as it is to be logged.
    pub async fn run_worker_phase(&self, phase: Phase, code: &Code) -> Result<(), Vec<u8>> {
        self.machine().await.run_worker_phase(phase, code).await
    }

    /// Graceful exit: pending timers run, running ones end.
    pub async fn drain(&self) {
        let others: Vec<_> = self.others.take().iter().filter_map(Weak::upgrade).collect();
        for other in others {
            other.drain().await;
        }
        self.machine().await.drain().await;
    }
}

/// The shared dictionaries: by name and size, so that a reload keeps their contents.
pub fn zones(http: &Http) -> Vec<Arc<Zone>> {
    static ZONES: Mutex<Vec<Arc<Zone>>> = Mutex::new(Vec::new());
    let mut known = ZONES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let wanted = http.lua.shared_dicts.iter().map(|(name, size)| {
        let size = usize::try_from(*size).unwrap_or(usize::MAX);
        let same = known.iter().find(|zone| zone.name() == name && zone.capacity() == size);
        same.cloned().unwrap_or_else(|| Zone::new(name, size))
    });
    let wanted: Vec<_> = wanted.collect();
    for zone in &wanted {
        if !known.iter().any(|other| Arc::ptr_eq(other, zone)) {
            known.retain(|other| other.name() != zone.name());
            known.push(zone.clone());
        }
    }
    wanted
}
