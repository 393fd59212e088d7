//! The scheduler: one run of Lua (a phase of a request, a timer) with all its light threads.
//!
//! A run is one future, polled inside one task. It owns every wait of its threads, so dropping it (the client went away, a limit
//! was hit) drops the waits at once; the threads' slots in the arena are given back by id, without opening the arena.
//!
//! The rules, which are OpenResty's:
//! 1. The entry thread runs first. `ngx.thread.spawn` runs the child until it waits or ends; the parent is queued behind whoever
//!    is ready. A light thread that yields, or has used up its turn, is queued at the end.
//! 2. A thread is in exactly one of: ready, parked (a wait of the outside world), joining (waiting for threads), zombie (ended,
//!    nobody has waited for it yet).
//! 3. The run is over when the entry thread and all others have ended; at once when a native asks for it (`ngx.exit`,
//!    `ngx.exec`, ...) or when the entry thread fails. An error in another thread is logged and is its result.
//! 4. A turn's fuel belongs to the run, not to the thread: spawn bombs, yields in a loop and waits that are ready at once are
//!    preempted like any other loop, and the worker's other requests get their turn.
//! 5. Response bytes go out between slices: when enough have gathered, on flush, and before the run waits.
//!
//! What must stay true: no await while the arena is open (`Vm::run` is not async; a wait that ran inside of it would stop the whole
//! worker); when a `Run` is gone, none of its threads is left (or a request that ended would go on, and its sockets stay open); a
//! native that spawns, yields or parks pays fuel first (or the others starve).
mod parked;
mod ready;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use vm::{Lent, Stashed, Step, ThreadId, Until, Wake};

use crate::log::Level;
use crate::phase::{Phase, Phases};
use crate::request::Request;
use crate::state::{LightThread, OnAbort, Threads};
use crate::trace::{self, Word};
use crate::worker::{PhaseEnd, Worker};
use parked::WaitSet;
use ready::Ready;

/// Fuel a run may use before the worker's other requests, and the reactor, get their turn.
const TURN: i64 = 20_000;
/// What entering a thread costs, whatever it does then.
const SWITCH: i64 = 50;
/// Collect when so many objects' worth of debt has gathered.
const DEBT: f64 = 256.0;

enum First {
    Fresh,
    /// It has had a slice already, which ended like this.
    Stepped(Step),
}

pub(crate) struct Run {
    worker: Rc<Worker>,
    entry: ThreadId,
    entry_ended: bool,
    /// Where the entry thread is when the run begins.
    first: Option<First>,
    /// Fuel that is left of this turn.
    turn: i64,
    ready: Ready,
    parked: WaitSet,
    /// (who waits, for whom)
    joining: Vec<(ThreadId, Vec<ThreadId>)>,
    /// Every light thread but the entry thread, for the day this is dropped in the middle.
    alive: Vec<ThreadId>,
    /// Threads that have not ended, and how many of them wait for others: this run's part of the worker's gauges.
    live: usize,
    joins: usize,
    quiet: bool,
    error: Vec<u8>,
}

/// Phases whose Lua OpenResty runs as a mere call: their errors read so.
const CALLS: Phases = Phase::Init.bit()
    | Phase::InitWorker.bit()
    | Phase::ExitWorker.bit()
    | Phase::Set.bit()
    | Phase::HeaderFilter.bit()
    | Phase::BodyFilter.bit()
    | Phase::Log.bit();

impl Run {
    /// Calls `function` in an entry thread of its own, and runs it to the end. Cancel by dropping.
    ///
    /// Most phases end with their first slice: those have no `Run`, nor room for one in their request's future.
    pub fn call(worker: &Rc<Worker>, function: &Stashed, request: &mut Request) -> impl Future<Output = PhaseEnd> {
        let phase = trace::note(|| request.phase.name().to_string());
        trace::over(Word::Run, phase, Run::called(worker, function, request))
    }

    async fn called(worker: &Rc<Worker>, function: &Stashed, request: &mut Request) -> PhaseEnd {
        if worker.is_poisoned() {
            return PhaseEnd::Failed;
        }
        if request.log.enabled(Level::Debug) {
            // (which says when threads are used again)
            let mut run = Run::new(worker.clone(), worker.vm.start(function));
            return Box::pin(run.run(request)).await;
        }
        let outer = std::mem::take(&mut request.lua.threads);
        let (phase, mut turn) = (request.phase.bit(), TURN - SWITCH);
        let made = |host: &mut dyn Any, id| {
            if let Some(request) = host.downcast_mut::<Request>() {
                request.lua.threads.entry = Some(id);
                request.lua.threads.current = Some(id);
            }
        };
        let over = |host: &mut dyn Any| {
            host.downcast_mut::<Request>().is_some_and(|request| {
                let threads = &request.lua.threads;
                threads.list.is_empty() && threads.killed.is_empty() && !output_due(request)
            })
        };
        let begun = catch_unwind(AssertUnwindSafe(|| {
            worker.vm.begin(function, Lent { host: request, phase, fuel: &mut turn }, made, over)
        }));
        let (id, step) = match begun {
            Ok(Some(waiting)) => waiting,
            Ok(None) => {
                worker.vm.collect(DEBT);
                let gauges = &worker.setup.gauges;
                gauges.scripts.add(1);
                gauges.memory.set(worker.vm.memory() as u64);
                request.lua.threads = outer;
                return request.finish.take().map_or(PhaseEnd::Done, PhaseEnd::Finish);
            }
            Err(_) => {
                worker.poison(request);
                request.lua.threads = outer;
                return PhaseEnd::Failed;
            }
        };
        let mut run = Run::new(worker.clone(), id);
        (run.first, run.turn) = (Some(First::Stepped(step)), turn);
        let going_on = async move {
            let end = run.drive(request).await;
            run.over(request, &end, outer);
            end
        };
        Box::pin(going_on).await
    }

    pub fn new(worker: Rc<Worker>, entry: ThreadId) -> Run {
        worker.setup.gauges.threads.add(1);
        worker.setup.gauges.scripts.add(1);
        Run {
            worker,
            entry,
            entry_ended: false,
            first: Some(First::Fresh),
            turn: TURN,
            ready: Ready::default(),
            parked: WaitSet::default(),
            joining: Vec::new(),
            alive: Vec::new(),
            live: 1,
            joins: 0,
            quiet: false,
            error: Vec::new(),
        }
    }

    /// As `run`, but the entry thread's error is returned instead of logged: for the worker's own phases.
    pub async fn run_quietly(&mut self, request: &mut Request) -> Result<(), Vec<u8>> {
        self.quiet = true;
        match self.run(request).await {
            PhaseEnd::Failed => Err(std::mem::take(&mut self.error)),
            _ => Ok(()),
        }
    }

    /// Runs to the end. Cancel by dropping.
    pub async fn run(&mut self, request: &mut Request) -> PhaseEnd {
        let outer = std::mem::take(&mut request.lua.threads);
        request.lua.threads.entry = Some(self.entry);
        let tell = request.log.enabled(Level::Debug) && self.worker.setup.thread_cache_max_entries != Some(0);
        if tell && self.worker.knows_slot(self.entry.slot()) {
            let words = format!("lua reusing cached lua thread (ref {})", self.entry.slot());
            self.worker.log_for(request, Level::Debug, words.as_bytes());
        }
        let end = self.drive(request).await;
        self.over(request, &end, outer);
        if tell {
            let words = format!("lua caching unused lua thread (ref {})", self.entry.slot());
            self.worker.log_for(request, Level::Debug, words.as_bytes());
        }
        end
    }

    /// The run is over: the request has its earlier threads back.
    fn over(&self, request: &mut Request, end: &PhaseEnd, outer: Threads) {
        let gauges = &self.worker.setup.gauges;
        gauges.memory.set(self.worker.vm.memory() as u64);
        if *end == PhaseEnd::Failed {
            gauges.failed.add(1);
        }
        request.lua.threads = outer;
    }

    async fn drive(&mut self, request: &mut Request) -> PhaseEnd {
        loop {
            loop {
                let (id, step) = match self.first.take() {
                    Some(First::Stepped(step)) => (self.entry, step),
                    first => {
                        let Some((id, wake)) = first.map(|_| (self.entry, Wake::Go)).or_else(|| self.ready.pop_front())
                        else {
                            break;
                        };
                        if self.turn <= 0 {
                            self.pause().await;
                        }
                        match self.slice(id, wake, request) {
                            Some(step) => (id, step),
                            None => return PhaseEnd::Failed,
                        }
                    }
                };
                self.worker.vm.collect(DEBT);
                while let Some(dead) = request.lua.threads.killed.pop() {
                    self.forget(dead);
                }
                let end = self.settle(id, step, request);
                self.count_joins();
                if let Some(end) = end {
                    return end;
                }
                if output_due(request) {
                    let flush = std::mem::take(&mut request.output.flush);
                    let last = request.output.eof;
                    if self.send(request, flush, last).await.is_err() {
                        request.output.broken = true;
                        if self.worker.aborts(request) {
                            return PhaseEnd::Aborted;
                        }
                    }
                }
            }
            if self.entry_ended && request.lua.threads.list.iter().all(|t| t.zombie) {
                return match request.finish.take() {
                    Some(finish) => PhaseEnd::Finish(finish),
                    None => PhaseEnd::Done,
                };
            }
            if self.parked.is_empty() {
                // Nobody can wake them: threads that wait for threads that were killed.
                return PhaseEnd::Done;
            }
            self.worker.setup.gauges.memory.set(self.worker.vm.memory() as u64);
            match self.next(request).await {
                Some((id, wait)) => self.wake(id, wait),
                None => {
                    self.worker.log_for(request, Level::Info, b"client prematurely closed connection");
                    match std::mem::replace(&mut request.lua.seldom().on_abort, OnAbort::Started) {
                        OnAbort::Registered(callback) => self.start_callback(request, &callback),
                        _ => return PhaseEnd::Aborted,
                    }
                }
            }
        }
    }

    /// The turn is used up: others have theirs.
    async fn pause(&mut self) {
        self.turn = TURN;
        tokio::task::yield_now().await;
        crate::now::update();
        // A thread that never waits must not keep the others from being woken.
        while let Some((woken, wait)) = self.parked.now().await {
            self.wake(woken, wait);
        }
    }

    /// One slice of one thread. None: it panicked, or the machine had before.
    fn slice(&mut self, id: ThreadId, wake: Wake, request: &mut Request) -> Option<Step> {
        self.turn -= SWITCH;
        if let Wake::Finished(done) = &wake {
            self.alive.retain(|t| t != done);
        }
        request.lua.threads.current = Some(id);
        if self.worker.is_poisoned() {
            return None;
        }
        let phase = request.phase.bit();
        // A panic in a native costs its VM: the arena may hold half-made values of this thread only, but who knows.
        let step = trace::during(Word::Resume, trace::note(String::new), || {
            catch_unwind(AssertUnwindSafe(|| {
                self.worker.vm.run(id, wake, Lent { host: request, phase, fuel: &mut self.turn })
            }))
        });
        if step.is_err() {
            self.worker.poison(request);
        }
        step.ok()
    }

    /// What a thread waited for is there.
    fn wake(&mut self, id: ThreadId, wait: vm::Parked) {
        self.worker.setup.gauges.waits(wait.what()).sub(1);
        self.ready.push_back((id, Wake::Resume(wait)));
    }

    fn spawned(&mut self, id: ThreadId) {
        self.alive.push(id);
        self.live += 1;
        self.worker.setup.gauges.threads.add(1);
    }

    fn one_fewer(&mut self) {
        self.live -= 1;
        self.worker.setup.gauges.threads.sub(1);
    }

    fn count_joins(&mut self) {
        let now = self.joining.len();
        if now != self.joins {
            let gauge = &self.worker.setup.gauges.joins;
            gauge.sub(self.joins);
            gauge.add(now);
            self.joins = now;
        }
    }

    /// The next wait that is over. None: the client went away meanwhile, and somebody wants to know.
    async fn next(&mut self, request: &Request) -> Option<(ThreadId, vm::Parked)> {
        if !self.worker.aborts(request) || request.lua.has_aborted() {
            return Some(self.parked.next().await);
        }
        tokio::select! {
            biased;
            done = self.parked.next() => Some(done),
            () = request.exchange.client_gone() => None,
        }
    }

    /// What `ngx.on_abort` registered runs as a light thread of its own.
    fn start_callback(&mut self, request: &mut Request, callback: &vm::Stashed) {
        let id = self.worker.vm.enter(|cx| cx.spawn(cx.fetch(callback), &[]).0);
        request.lua.threads.list.push(LightThread { id, parent: 0, zombie: false });
        self.spawned(id);
        self.ready.push_back((id, Wake::Go));
    }

    async fn send(&self, request: &mut Request, flush: bool, last: bool) -> Result<(), crate::request::ClientGone> {
        let exchange = request.exchange.clone();
        exchange.send(request, flush, last).await
    }

    /// What a slice's end means for the thread; Some: for the whole run.
    fn settle(&mut self, id: ThreadId, step: Step, request: &mut Request) -> Option<PhaseEnd> {
        match step {
            Step::Done if id == self.entry => {
                self.entry_ended = true;
                self.one_fewer();
            }
            Step::Error if id == self.entry => {
                // (as a call, not as a thread)
                let plain = request.phase.bit() & CALLS != 0;
                let text = self.worker.failure(id, plain);
                if self.quiet {
                    self.error = text;
                    return Some(PhaseEnd::Failed);
                }
                let lead = match request.phase {
                    _ if plain => format!("failed to run {}: ", request.phase.context()),
                    _ => "lua entry thread aborted: runtime error: ".to_string(),
                };
                let words = [lead.as_bytes(), &text].concat();
                request.log.clone().write(Level::Error, &words, Some(request));
                return Some(PhaseEnd::Failed);
            }
            Step::Error => {
                let text = self.worker.failure(id, false);
                let words = [b"lua user thread aborted: runtime error: ".as_slice(), &text].concat();
                request.log.clone().write(Level::Error, &words, Some(request));
                self.ended(id, request);
            }
            Step::Done => self.ended(id, request),
            Step::Gone => {}
            Step::Exit => {
                let finish = request.finish.take().unwrap_or(crate::request::Finish::Exit(0));
                return Some(PhaseEnd::Finish(finish));
            }
            Step::Park(wait) => {
                trace::at(Word::Park, trace::note(|| wait.what().name().to_string()));
                self.worker.setup.gauges.waits(wait.what()).add(1);
                self.parked.insert(id, wait);
            }
            Step::OutOfFuel | Step::Yield(Until::NextTurn) => self.ready.push_back((id, Wake::Go)),
            Step::Yield(Until::Spawned(child)) => {
                self.spawned(child);
                self.ready.push_front((child, Wake::Go));
                self.ready.push_back((id, Wake::Spawned(child)));
            }
            Step::Yield(Until::Finished(others)) => {
                let threads = &mut request.lua.threads.list;
                let done = others.iter().find(|o| threads.iter().any(|t| t.id == **o && t.zombie)).copied();
                match done {
                    Some(done) => {
                        threads.retain(|t| t.id != done);
                        self.ready.push_back((id, Wake::Finished(done)));
                    }
                    None => self.joining.push((id, others)),
                }
            }
        }
        None
    }

    /// A light thread has ended: whoever waits for it gets its results, else it stays as a zombie.
    fn ended(&mut self, id: ThreadId, request: &mut Request) {
        self.one_fewer();
        match self.joining.iter().position(|(_, others)| others.contains(&id)) {
            Some(at) => {
                let (waiter, _) = self.joining.swap_remove(at);
                request.lua.threads.list.retain(|t| t.id != id);
                self.ready.push_back((waiter, Wake::Finished(id)));
            }
            None => {
                if let Some(t) = request.lua.threads.list.iter_mut().find(|t| t.id == id) {
                    t.zombie = true;
                }
            }
        }
    }

    /// A killed thread: its wait is dropped here, outside the arena; its slot is already free.
    fn forget(&mut self, dead: ThreadId) {
        if let Some(wait) = self.parked.remove(dead) {
            self.worker.setup.gauges.waits(wait.what()).sub(1);
        }
        // (one that had ended was counted when it did, and is not killed)
        self.one_fewer();
        self.ready.forget(dead);
        self.joining.retain(|(waiter, _)| *waiter != dead);
        self.alive.retain(|t| *t != dead);
        for (waiter, others) in &mut self.joining {
            others.retain(|o| *o != dead);
            if others.is_empty() {
                self.ready.push_back((*waiter, Wake::Refused("already waited or killed")));
            }
        }
        self.joining.retain(|(_, others)| !others.is_empty());
    }
}

/// Bytes of the response have to go out before anything else happens.
fn output_due(request: &Request) -> bool {
    let out = &request.output;
    out.flush
        || out.piece
        || (out.eof && !request.response.sent)
        || (!out.pending.is_empty() && out.pending.len() >= request.exchange.postpone_output())
}

impl Drop for Run {
    fn drop(&mut self) {
        let gauges = &self.worker.setup.gauges;
        gauges.threads.sub(self.live);
        gauges.joins.sub(self.joins);
        for wait in self.parked.all() {
            gauges.waits(wait.what()).sub(1);
        }
        for id in self.alive.drain(..).chain([self.entry]) {
            self.worker.vm.bury(id);
        }
    }
}
