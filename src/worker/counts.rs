//! Counters over the whole server, as the status pages show them.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use ngx::gauges::Gauge;

#[derive(Default)]
pub struct Counts {
    pub accepted: AtomicU64,
    pub open: AtomicU64,
    pub temp_files: AtomicU64,
    /// What the workers' Lua is doing.
    pub lua: crate::http::modules::perilune_status::Registry,
    /// The live workers' own, and what those that have ended had served.
    busy: Mutex<(Vec<Arc<Busy>>, u64)>,
}

/// What one worker counts with each request: without a locked instruction, for nobody else writes it.
#[derive(Default)]
#[repr(align(64))]
pub struct Busy {
    /// Connections with half a request head, and with a request in service.
    pub reading: Gauge,
    pub writing: Gauge,
    pub requests: Gauge,
}

impl Counts {
    pub fn enlist(&self) -> Arc<Busy> {
        let fresh = Arc::<Busy>::default();
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).0.push(fresh.clone());
        fresh
    }
    pub fn dismiss(&self, worker: &Arc<Busy>) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.0.retain(|other| !Arc::ptr_eq(other, worker));
        busy.1 += worker.requests.get();
    }
    pub fn reading(&self) -> u64 {
        self.sum(|busy| &busy.reading)
    }
    pub fn writing(&self) -> u64 {
        self.sum(|busy| &busy.writing)
    }
    pub fn requests(&self) -> u64 {
        // (one look: a worker that ends meanwhile is to count once)
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.0.iter().map(|worker| worker.requests.get()).sum::<u64>() + busy.1
    }
    fn sum(&self, which: fn(&Busy) -> &Gauge) -> u64 {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.0.iter().map(|worker| which(worker).get()).sum()
    }
}
