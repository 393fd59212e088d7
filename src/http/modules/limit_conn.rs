//! The limit_conn module: how many requests of one key are in service at once, counted over all workers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ngx::log::Level;
use ngx::request::Request;

use super::zone::Zone;
use crate::conf::value::Value;
use crate::http::live::Live;
use crate::http::phases::Next;

/// `limit_conn_zone`.
#[derive(Debug)]
pub struct Definition {
    pub key: Value,
    /// How many keys fit.
    pub most: usize,
    pub counts: Arc<Mutex<HashMap<Vec<u8>, u64>>>,
}

/// `limit_conn`
#[derive(Clone, Debug)]
pub struct Limit {
    pub zone: Arc<Zone<Definition>>,
    pub most: u64,
}

/// A request that is counted, until it is dropped.
pub struct Counted {
    counts: Arc<Mutex<HashMap<Vec<u8>, u64>>>,
    key: Vec<u8>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// The counts of a zone of that name: a reload keeps them.
pub fn counts(name: &str) -> Arc<Mutex<HashMap<Vec<u8>, u64>>> {
    static KNOWN: Mutex<Vec<(String, Arc<Mutex<HashMap<Vec<u8>, u64>>>)>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, found)) = known.iter().find(|(n, _)| n == name) {
        return found.clone();
    }
    let fresh: Arc<Mutex<HashMap<Vec<u8>, u64>>> = Arc::default();
    known.push((name.to_string(), fresh.clone()));
    fresh
}

pub fn run(live: &Live, request: &Request) -> Next {
    let Some(limits) = &live.settings().limit_conn else { return Next::Go };
    if live.if_seldom().is_some_and(|s| s.limit_conn_status.get().is_some()) || request.is_subrequest {
        return Next::Go;
    }
    let dry_run = live.settings().limit_conn_dry_run == Some(true);
    for limit in limits.iter() {
        let Some(zone) = limit.zone.defined.get() else { continue };
        let key = live.eval(request, &zone.key);
        if key.is_empty() {
            continue;
        }
        live.seldom().limit_conn_status.set(Some("PASSED"));
        let mut counts = zone.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let now = counts.get(&key).copied().unwrap_or(0);
        if now >= limit.most || (now == 0 && counts.len() >= zone.most) {
            drop(counts);
            let level = live.settings().limit_conn_log_level.unwrap_or(Level::Error);
            let words = if dry_run { ", dry run," } else { "" };
            live.say(request, level, &format!("limiting connections{words} by zone \"{}\"", limit.zone.name));
            live.seldom().counted.borrow_mut().clear();
            live.seldom().limit_conn_status.set(Some(if dry_run { "REJECTED_DRY_RUN" } else { "REJECTED" }));
            if dry_run {
                return Next::Go;
            }
            return Next::Status(live.settings().limit_conn_status.unwrap_or(503));
        }
        counts.insert(key.clone(), now + 1);
        drop(counts);
        live.seldom().counted.borrow_mut().push(Counted { counts: zone.counts.clone(), key });
    }
    Next::Go
}
