//! Idle connections of one worker, by pool name: the least recently used one goes when a pool is full.
//!
//! An idle connection is looked at when it is taken (bytes or an end that came meanwhile disqualify it) and by a sweep that runs
//! while there are any, which also ends those that have been idle too long.
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ahash::AHashMap;

use super::Connected;
use crate::stream::Stream;
use crate::worker::Worker;

struct Idle {
    pub stream: Stream,
    pub reused: u64,
    pub expires: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Pools {
    pools: RefCell<AHashMap<Vec<u8>, Pool>>,
    sweeping: Cell<bool>,
    closed: Cell<bool>,
}

struct Pool {
    /// The most recently used one is at the back.
    idle: VecDeque<Idle>,
    size: usize,
}

const SWEEP: Duration = Duration::from_millis(500);

impl Pools {
    /// A connection that is still good.
    pub fn take(&self, name: &[u8]) -> Option<Connected> {
        let mut pools = self.pools.borrow_mut();
        let pool = pools.get_mut(name)?;
        while let Some(idle) = pool.idle.pop_back() {
            if idle.expires.is_some_and(|at| at <= Instant::now()) || !idle.stream.is_quiet() {
                continue;
            }
            let mut connected = Connected::new(idle.stream, name.to_vec(), pool.size);
            connected.reused = idle.reused + 1;
            return Some(connected);
        }
        None
    }

    /// Keeps a connection. `ms`: how long at most (0: for ever); `size` counts when the pool is new.
    pub fn put(&self, worker: &Rc<Worker>, connected: Connected, ms: u64, size: usize) {
        if self.closed.get() || size == 0 {
            return;
        }
        let expires = (ms > 0).then(|| Instant::now() + Duration::from_millis(ms));
        let idle = Idle { stream: connected.stream, reused: connected.reused, expires };
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(connected.pool).or_insert_with(|| Pool { idle: VecDeque::new(), size });
        if pool.idle.len() >= pool.size {
            pool.idle.pop_front();
        }
        pool.idle.push_back(idle);
        if !self.sweeping.replace(true) {
            let weak = Rc::downgrade(worker);
            worker.task(async move {
                loop {
                    tokio::time::sleep(SWEEP).await;
                    let Some(worker) = weak.upgrade() else { return };
                    if !worker.sockets.sweep() {
                        worker.sockets.sweeping.set(false);
                        return;
                    }
                }
            });
        }
    }

    /// Drops what is dead or too old; false: nothing is left.
    fn sweep(&self) -> bool {
        let now = Instant::now();
        let mut pools = self.pools.borrow_mut();
        for pool in pools.values_mut() {
            pool.idle.retain(|idle| idle.expires.is_none_or(|at| at > now) && idle.stream.is_quiet());
        }
        pools.retain(|_, pool| !pool.idle.is_empty());
        !pools.is_empty()
    }

    /// The worker exits: no idle connections any more.
    pub fn close(&self) {
        self.closed.set(true);
        self.pools.borrow_mut().clear();
    }
}
