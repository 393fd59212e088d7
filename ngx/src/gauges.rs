//! What a worker's Lua is doing right now, for whoever asks from another thread (the status page).
//!
//! Each worker writes its own gauges and nobody else's, so counting is a load and a store: no lock, no locked instruction. A reader
//! sees every gauge as it was a moment ago, and not all of them at the same moment.
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vm::What;

/// One number, written by one thread.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
    pub fn add(&self, n: usize) {
        self.set(self.get().wrapping_add(n as u64));
    }
    pub fn sub(&self, n: usize) {
        self.set(self.get().saturating_sub(n as u64));
    }
}

/// One worker's. (On cache lines of its own: its neighbours' writes are not to slow it down.)
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Gauges {
    /// Runs of Lua (a phase of a request, a timer) that began, and those that an error ended.
    pub scripts: Gauge,
    pub failed: Gauge,
    /// Light threads that have not ended, entry threads included.
    pub threads: Gauge,
    pub timers_pending: Gauge,
    pub timers_running: Gauge,
    /// Idle connections in cosockets' pools.
    pub idle: Gauge,
    /// Bytes in use by Lua when it last waited or ended.
    pub memory: Gauge,
    /// Light threads that wait for others.
    pub joins: Gauge,
    waits: [Gauge; What::ALL.len()],
    /// The worker is on its way out.
    pub exiting: AtomicBool,
}

impl Gauges {
    /// Light threads that wait for this.
    pub fn waits(&self, what: What) -> &Gauge {
        &self.waits[what as usize]
    }
}

/// A count of one machine, which its worker's gauge has a part of.
pub(crate) struct Tally {
    own: Cell<usize>,
    gauges: Arc<Gauges>,
    which: fn(&Gauges) -> &Gauge,
}

impl Tally {
    pub fn new(gauges: &Arc<Gauges>, which: fn(&Gauges) -> &Gauge) -> Tally {
        Tally { own: Cell::new(0), gauges: gauges.clone(), which }
    }
    pub fn get(&self) -> usize {
        self.own.get()
    }
    pub fn add(&self, n: usize) {
        self.own.set(self.own.get() + n);
        (self.which)(&self.gauges).add(n);
    }
    pub fn sub(&self, n: usize) {
        self.own.set(self.own.get().saturating_sub(n));
        (self.which)(&self.gauges).sub(n);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        (self.which)(&self.gauges).sub(self.own.get());
    }
}
