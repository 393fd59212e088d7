//! The limit_req module: a leaky bucket for each key, shared by all workers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ngx::log::Level;
use ngx::request::Request;

use super::zone::Zone;
use crate::conf::value::Value;
use crate::http::live::Live;
use crate::http::phases::Next;
use crate::time;

/// `limit_req_zone`.
#[derive(Debug)]
pub struct Definition {
    pub key: Value,
    /// Thousandths of a request a second.
    pub rate: u64,
    pub buckets: Arc<Mutex<Buckets>>,
}

/// Keys and how full their buckets are. Two generations: when the young one is full it becomes the old one, and what the old one
/// held is forgotten; whoever is seen again moves to the young one. That bounds memory in constant time.
#[derive(Debug)]
pub struct Buckets {
    most: usize,
    young: HashMap<Vec<u8>, Bucket>,
    old: HashMap<Vec<u8>, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of a request over the rate.
    excess: u64,
    last_ms: u64,
}

/// `limit_req`
#[derive(Clone, Debug)]
pub struct Limit {
    pub zone: Arc<Zone<Definition>>,
    /// Thousandths of a request.
    pub burst: u64,
    /// How much excess passes without a delay; None: all of it (nodelay).
    pub delay: Option<u64>,
}

impl Buckets {
    /// For a zone of so many bytes.
    pub fn new(size: u64) -> Buckets {
        let most = usize::try_from(size / 128).unwrap_or(usize::MAX).max(8);
        Buckets { most, young: HashMap::new(), old: HashMap::new() }
    }

    /// The excess that one more request makes.
    fn excess(&self, key: &[u8], rate: u64, now: u64) -> u64 {
        match self.young.get(key).or_else(|| self.old.get(key)) {
            None => 0,
            Some(bucket) => {
                let drained = rate.saturating_mul(now.saturating_sub(bucket.last_ms)) / 1000;
                (bucket.excess + 1000).saturating_sub(drained)
            }
        }
    }

    fn set(&mut self, key: Vec<u8>, excess: u64, now: u64) {
        if self.young.len() >= self.most / 2 && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, Bucket { excess, last_ms: now });
    }
}

/// The buckets of a zone of that name and size: a reload keeps them.
pub fn buckets(name: &str, size: u64) -> Arc<Mutex<Buckets>> {
    static KNOWN: Mutex<Vec<(String, u64, Arc<Mutex<Buckets>>)>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, _, found)) = known.iter().find(|(n, s, _)| n == name && *s == size) {
        return found.clone();
    }
    known.retain(|(n, _, _)| n != name);
    let fresh = Arc::new(Mutex::new(Buckets::new(size)));
    known.push((name.to_string(), size, fresh.clone()));
    fresh
}

pub async fn run(live: &Live, request: &mut Request) -> Next {
    let Some(limits) = &live.settings().limit_req else { return Next::Go };
    if live.if_seldom().is_some_and(|s| s.limit_req_status.get().is_some()) || request.is_subrequest {
        return Next::Go;
    }
    let now = time::now_ms();
    let dry_run = live.settings().limit_req_dry_run == Some(true);
    let level = live.settings().limit_req_log_level.unwrap_or(Level::Error);
    let words = if dry_run { ", dry run" } else { "" };
    let mut taken = Vec::new();
    let (mut wait, mut worst) = (0, None);
    for limit in limits.iter() {
        let Some(zone) = limit.zone.defined.get() else { continue };
        let key = live.eval(request, &zone.key);
        if key.is_empty() {
            continue;
        }
        let excess = zone.buckets.lock().unwrap_or_else(PoisonError::into_inner).excess(&key, zone.rate, now);
        let (name, shown) = (&limit.zone.name, format!("{}.{:03}", excess / 1000, excess % 1000));
        if excess > limit.burst {
            live.say(request, level, &format!("limiting requests{words}, excess: {shown} by zone \"{name}\""));
            live.seldom().limit_req_status.set(Some(if dry_run { "REJECTED_DRY_RUN" } else { "REJECTED" }));
            if dry_run {
                return Next::Go;
            }
            return Next::Status(live.settings().limit_req_status.unwrap_or(503));
        }
        let delay = match limit.delay {
            Some(free) if excess > free => (excess - free).saturating_mul(1000) / zone.rate.max(1),
            _ => 0,
        };
        if delay > wait {
            (wait, worst) = (delay, Some(format!(", excess: {shown}, by zone \"{name}\"")));
        }
        taken.push((zone, key, excess));
    }
    if taken.is_empty() {
        return Next::Go;
    }
    for (zone, key, excess) in taken {
        zone.buckets.lock().unwrap_or_else(PoisonError::into_inner).set(key, excess, now);
    }
    let Some(worst) = worst else {
        live.seldom().limit_req_status.set(Some("PASSED"));
        return Next::Go;
    };
    live.seldom().limit_req_status.set(Some(if dry_run { "DELAYED_DRY_RUN" } else { "DELAYED" }));
    // A delay is worth one level less than a refusal.
    let lower = Level::from_number(level as i64 + 1).filter(|_| level < Level::Info).unwrap_or(level);
    live.say(request, lower, &format!("delaying request{words}{worst}"));
    if !dry_run {
        ngx::alarm::sleep(Duration::from_millis(wait)).await;
    }
    Next::Go
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_drain_and_are_forgotten() {
        let mut buckets = Buckets::new(1024);
        let mut seen = Vec::new();
        // One request a second.
        for (key, now) in [("a", 0), ("a", 100), ("a", 100), ("a", 3000), ("b", 3000)] {
            let excess = buckets.excess(key.as_bytes(), 1000, now);
            buckets.set(key.into(), excess, now);
            seen.push(excess);
        }
        assert_eq!(seen, [0, 900, 1900, 0, 0]);
        for n in 0..1000u32 {
            buckets.set(n.to_string().into(), 5000, 0);
        }
        assert!(buckets.young.len() + buckets.old.len() <= 8);
    }
}
