//! Connection pools of one worker, by name: the idle connections, how many there are in all, and who waits for one.
//!
//! A pool is made by the first `connect` that gives its size, or by the first `setkeepalive`, and is gone with its last
//! connection. Whoever connects through a pool has a *seat* in it; seats beyond the pool's size (if it has a backlog) wait in
//! a queue for somebody to leave. An idle connection is looked at when it is taken and by the watcher, a task that is woken by
//! what comes in and by the clock, and ends those that were closed, got bytes nobody asked for, or have been idle too long.
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ahash::AHashMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Connected, Source};
use crate::alarm::Alarm;
use crate::gauges::Gauges;
use crate::log::{Level, Log};

pub(crate) struct Pools {
    pools: RefCell<AHashMap<Vec<u8>, Rc<Pool>>>,
    log: Rc<dyn Log>,
    /// Wakes the watcher; None: none runs.
    watcher: RefCell<Option<Waker>>,
    /// When the watcher looks next by itself.
    next: Cell<Option<Instant>>,
    closed: Cell<bool>,
    gauges: Arc<Gauges>,
}

pub(crate) struct Pool {
    owner: Weak<Pools>,
    name: Vec<u8>,
    size: usize,
    /// How many may wait for a seat; None: there are as many seats as anybody wants.
    backlog: Option<usize>,
    /// Connections in use and idle ones, and those who wait.
    connections: Cell<usize>,
    /// The most recently used one is at the back.
    idle: RefCell<VecDeque<Idle>>,
    waiting: RefCell<VecDeque<Rc<Turn>>>,
}

/// An idle connection; it is counted by its pool.
struct Idle {
    stream: Source,
    reused: u64,
    expires: Option<Instant>,
    _counted: Counted,
}

/// Counts an idle connection while it lives.
struct Counted(Arc<Gauges>);

impl Counted {
    fn new(gauges: &Arc<Gauges>) -> Counted {
        gauges.idle.add(1);
        Counted(gauges.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.idle.sub(1);
    }
}

#[derive(Default)]
struct Turn {
    given: Cell<bool>,
    notify: Notify,
}

/// One connection's place in its pool; leaving it lets the next one in.
pub(crate) struct Seat {
    pool: Rc<Pool>,
    counted: bool,
}

/// What a pool has for whoever wants to connect.
pub(crate) enum Entry {
    Idle(Connected),
    Seat(Seat),
    Queued(Queued),
    Full,
}

/// A place in the queue for a seat; dropping it leaves the queue.
pub(crate) struct Queued {
    seat: Option<Seat>,
    turn: Rc<Turn>,
    /// It ends as it should: nobody gave up.
    settled: Cell<bool>,
}

/// Why a connection cannot be kept.
pub(crate) enum Unfit {
    Closed,
    Unread,
}

impl Pools {
    pub fn new(log: Rc<dyn Log>, gauges: Arc<Gauges>) -> Rc<Pools> {
        Rc::new(Pools {
            pools: RefCell::default(),
            log,
            watcher: RefCell::default(),
            next: Cell::new(None),
            closed: Cell::new(false),
            gauges,
        })
    }

    pub fn find(&self, name: &[u8]) -> Option<Rc<Pool>> {
        self.pools.borrow().get(name).cloned()
    }

    pub fn create(self: &Rc<Self>, name: &[u8], size: usize, backlog: Option<usize>) -> Rc<Pool> {
        let pool = Rc::new(Pool {
            owner: Rc::downgrade(self),
            name: name.to_vec(),
            size,
            backlog,
            connections: Cell::new(0),
            idle: RefCell::default(),
            waiting: RefCell::default(),
        });
        self.pools.borrow_mut().insert(name.to_vec(), pool.clone());
        pool
    }

    /// The worker exits: no idle connections any more.
    pub fn close(&self) {
        self.closed.set(true);
        let pools = std::mem::take(&mut *self.pools.borrow_mut());
        for pool in pools.values() {
            pool.idle.borrow_mut().clear();
        }
    }

    fn debug(&self, words: impl FnOnce() -> String) {
        if self.log.enabled(Level::Debug) {
            self.log.write(Level::Debug, words().as_bytes(), None);
        }
    }

    /// Ends idle connections that are dead or too old; the earliest end of those that stay.
    fn look(&self, cx: &mut Context<'_>) -> Option<Instant> {
        let now = Instant::from_std(crate::now::instant());
        let mut earliest = None;
        let mut ended: Vec<(Rc<Pool>, Idle, bool)> = Vec::new();
        for pool in self.pools.borrow().values() {
            let mut idle = pool.idle.borrow_mut();
            let mut at = 0;
            while at < idle.len() {
                let late = idle[at].expires.is_some_and(|end| end <= now);
                if !late && idle[at].stream.poll_read(cx, &mut [0]).is_pending() {
                    earliest = [earliest, idle[at].expires].into_iter().flatten().min();
                    at += 1;
                } else if let Some(gone) = idle.remove(at) {
                    ended.push((pool.clone(), gone, late));
                }
            }
        }
        for (pool, gone, late) in ended {
            if late {
                self.debug(|| "lua tcp socket keepalive max idle timeout".into());
            } else {
                self.debug(|| "lua tcp socket keepalive close handler check stale events".into());
            }
            self.debug(|| format!("lua tcp socket keepalive close handler: fd:{}", gone.stream.fd()));
            drop(gone);
            pool.leave();
        }
        earliest
    }

    /// Sees to it that the watcher looks no later than `end`.
    fn watch(self: &Rc<Self>, end: Option<Instant>) {
        let running = self.watcher.borrow().clone();
        match running {
            None => {
                *self.watcher.borrow_mut() = Some(Waker::noop().clone());
                tokio::task::spawn_local(Watcher { pools: Rc::downgrade(self), clock: None });
            }
            Some(waker) => {
                if end.is_some_and(|end| self.next.get().is_none_or(|next| end < next)) {
                    waker.wake();
                }
            }
        }
    }
}

/// The task that looks after idle connections; it ends when there are none.
struct Watcher {
    pools: Weak<Pools>,
    clock: Option<(Instant, Alarm)>,
}

impl Future for Watcher {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pools) = self.pools.upgrade() else { return Poll::Ready(()) };
        *pools.watcher.borrow_mut() = Some(cx.waker().clone());
        loop {
            let next = pools.look(cx);
            pools.next.set(next);
            if pools.pools.borrow().values().all(|pool| pool.idle.borrow().is_empty()) {
                *pools.watcher.borrow_mut() = None;
                return Poll::Ready(());
            }
            let Some(next) = next else {
                self.clock = None;
                return Poll::Pending;
            };
            let clock = self.clock.take().filter(|(at, _)| *at == next);
            let (_, clock) = self.clock.insert(clock.unwrap_or_else(|| (next, Alarm::at(next))));
            if Pin::new(clock).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.clock = None;
        }
    }
}

impl Pool {
    /// Lets somebody in who wants to connect.
    pub fn enter(self: &Rc<Self>) -> Entry {
        if let Some(connected) = self.take() {
            return Entry::Idle(connected);
        }
        let connections = self.connections.get();
        match self.backlog {
            Some(backlog) if connections >= self.size.saturating_add(backlog) => Entry::Full,
            Some(_) if connections >= self.size => {
                let turn = Rc::new(Turn::default());
                self.waiting.borrow_mut().push_back(turn.clone());
                Entry::Queued(Queued { seat: Some(self.seat()), turn, settled: Cell::new(false) })
            }
            _ => Entry::Seat(self.seat()),
        }
    }

    pub fn connections(&self) -> usize {
        self.connections.get()
    }

    fn seat(self: &Rc<Self>) -> Seat {
        self.connections.set(self.connections.get() + 1);
        Seat { pool: self.clone(), counted: true }
    }

    /// An idle connection that is still good.
    pub fn take(self: &Rc<Self>) -> Option<Connected> {
        loop {
            let idle = self.idle.borrow_mut().pop_back()?;
            // (it was counted while it was idle)
            let seat = Seat { pool: self.clone(), counted: true };
            if idle.expires.is_none_or(|at| at > crate::now::instant().into()) && idle.stream.is_quiet() {
                let mut connected = Connected::new(idle.stream, self.name.clone());
                connected.reused = idle.reused + 1;
                connected.seat = Some(seat);
                return Some(connected);
            }
        }
    }

    /// Keeps a connection for `ms` milliseconds at most (0: for ever). Err: it is of no use any more.
    pub fn put(self: &Rc<Self>, connected: Connected, ms: u64) -> Result<(), Unfit> {
        let Connected { stream, seat, reused, .. } = connected;
        let Some(pools) = self.owner.upgrade() else { return Ok(()) };
        let waker = pools.watcher.borrow().clone().unwrap_or(Waker::noop().clone());
        match stream.poll_read(&mut Context::from_waker(&waker), &mut [0]) {
            Poll::Pending => {}
            Poll::Ready(Ok(1..)) => return Err(Unfit::Unread),
            Poll::Ready(_) => return Err(Unfit::Closed),
        }
        if pools.closed.get() {
            return Ok(());
        }
        let seat = seat.filter(|seat| Rc::ptr_eq(&seat.pool, self)).unwrap_or_else(|| self.seat());
        seat.keep();
        let oldest = if self.idle.borrow().len() >= self.size { self.idle.borrow_mut().pop_front() } else { None };
        if oldest.is_some() {
            self.connections.set(self.connections.get().saturating_sub(1));
        }
        let expires = (ms > 0).then(|| Instant::from_std(crate::now::instant()) + Duration::from_millis(ms));
        self.idle.borrow_mut().push_back(Idle { stream, reused, expires, _counted: Counted::new(&pools.gauges) });
        pools.watch(expires);
        self.admit();
        Ok(())
    }

    /// One connection fewer: the next one's turn; the last one takes the pool with it.
    fn leave(self: &Rc<Self>) {
        self.connections.set(self.connections.get().saturating_sub(1));
        if self.connections.get() > 0 {
            return self.admit();
        }
        let Some(pools) = self.owner.upgrade() else { return };
        let mut known = pools.pools.borrow_mut();
        if known.get(&self.name).is_some_and(|pool| Rc::ptr_eq(pool, self)) {
            known.remove(&self.name);
            drop(known);
            let name = String::from_utf8_lossy(&self.name);
            pools.debug(|| format!("lua tcp socket keepalive: free connection pool for \"{name}\""));
        }
    }

    fn admit(&self) {
        let first = self.waiting.borrow_mut().pop_front();
        if let Some(turn) = first {
            turn.given.set(true);
            turn.notify.notify_one();
        }
    }
}

impl Seat {
    /// The connection stays counted.
    fn keep(mut self) {
        self.counted = false;
    }
    /// Leaves without letting anybody in.
    fn give_up(mut self) {
        self.counted = false;
        self.pool.connections.set(self.pool.connections.get().saturating_sub(1));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.counted {
            self.pool.leave();
        }
    }
}

impl Queued {
    /// Resolves when it is this one's turn.
    pub async fn turn(&self) {
        while !self.turn.given.get() {
            self.turn.notify.notified().await;
        }
    }
    /// What there is now: an idle connection, or else the seat.
    pub fn take(mut self) -> Result<Connected, Option<Seat>> {
        self.settled.set(true);
        let Some(seat) = self.seat.take() else { return Err(None) };
        match seat.pool.take() {
            Some(connected) => {
                seat.give_up();
                Ok(connected)
            }
            None => Err(Some(seat)),
        }
    }
    /// The wait was too long.
    pub fn late(&self) {
        self.settled.set(true);
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let Some(seat) = &self.seat else { return };
        seat.pool.waiting.borrow_mut().retain(|turn| !Rc::ptr_eq(turn, &self.turn));
        if !self.settled.get()
            && let Some(pools) = seat.pool.owner.upgrade()
        {
            pools.debug(|| "lua tcp socket abort queueing".into());
        }
    }
}
