//! A zone's entries in shards with a lock each, so that two workers seldom wait for each other, and the zone as a whole where the
//! semantics speak of the whole: its coldest entries, its eviction, its keys.
//!
//! An operation locks the shard of its key, or all shards (in their order). What it may need of the whole is known beforehand from
//! two hints, read without a lock: no entry has reached its end (`soonest`), or the coldest one has not (`coldest`, `quiet`), so
//! that nothing is to be dropped at the cold end. An operation on one shard that finds out it needs more has changed nothing, gives
//! up, and begins anew with all. The order of use across shards is that of stamps: the monotonic clock, made strictly
//! increasing by each thread.
//!
//! What must stay true: `soonest` is never later than the earliest end of any entry; `quiet` is 0, or the end of the entry whose
//! stamp is `coldest`, and that one is the coldest; the slab's lock is taken last.
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use ahash::RandomState;
use smallvec::SmallVec;

use super::slab::{Slab, Span};
use super::store::{Entry, Held, Index, New, Store};

/// A power of two.
const SHARDS: usize = 32;

#[derive(Debug)]
#[repr(align(128))]
struct Shard(Mutex<Store>);

#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shards {
    shards: Box<[Shard]>,
    slab: Mutex<Slab>,
    hasher: RandomState,
    /// No entry ends before that, in unix ms.
    soonest: AtomicU64,
    /// The coldest entry's stamp, and until when it is known not to end.
    coldest: AtomicU64,
    quiet: AtomicU64,
    /// How often all shards were locked since `soonest` was counted anew.
    wholes: AtomicU64,
}

/// Names an entry while its shard is locked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Id {
    shard: usize,
    index: Index,
}

/// One shard, or all of them, locked.
pub(super) struct Locked<'z> {
    zone: &'z Shards,
    /// The first locked shard's number.
    first: usize,
    guards: SmallVec<[MutexGuard<'z, Store>; 1]>,
    /// Of the operation's key.
    hash: u64,
}

/// A panic elsewhere under the lock leaves at worst a miscounted page: the zone stays in service.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Greater than what any thread got before.
fn stamp() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    let now = crate::now::instant();
    let age = now.saturating_duration_since(*START.get_or_init(|| now));
    let now = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
    LAST.with(|last| {
        last.set(now.max(last.get() + 1));
        last.get()
    })
}

impl Shards {
    pub fn new(slab: Slab) -> Shards {
        Shards {
            shards: (0..SHARDS).map(|_| Shard(Mutex::new(Store::new()))).collect(),
            slab: Mutex::new(slab),
            hasher: RandomState::new(),
            soonest: AtomicU64::new(u64::MAX),
            coldest: AtomicU64::new(0),
            quiet: AtomicU64::new(0),
            wholes: AtomicU64::new(0),
        }
    }

    pub fn free_space(&self) -> usize {
        lock(&self.slab).free_space()
    }

    /// Runs an operation on the key's shard; on all, if the cold end may have something to drop or the operation gives up.
    pub fn with<T>(&self, key: &[u8], now: u64, mut operation: impl FnMut(&mut Locked<'_>) -> Option<T>) -> T {
        let hash = self.hasher.hash_one(key);
        if now < self.soonest.load(Ordering::Relaxed) || now < self.quiet.load(Ordering::Relaxed) {
            let shard = (hash >> 32) as usize & (SHARDS - 1);
            let guards = SmallVec::from_buf([lock(&self.shards[shard].0)]);
            let mut one = Locked { zone: self, first: shard, guards, hash };
            if let Some(done) = operation(&mut one) {
                return done;
            }
        }
        self.whole(hash, |all| operation(all).expect("with all shards there is nothing to give up for"))
    }

    /// Runs an operation on everything.
    pub fn with_all<T>(&self, operation: impl FnOnce(&mut Locked<'_>) -> T) -> T {
        self.whole(0, operation)
    }

    fn whole<T>(&self, hash: u64, operation: impl FnOnce(&mut Locked<'_>) -> T) -> T {
        let guards = self.shards.iter().map(|shard| lock(&shard.0)).collect();
        let mut all = Locked { zone: self, first: 0, guards, hash };
        let done = operation(&mut all);
        let end = all.oldest().map(|id| all.entry(id)).map(|coldest| (coldest.stamp, coldest.expires));
        let (coldest, end) = end.unwrap_or((0, 0));
        self.coldest.store(coldest, Ordering::Relaxed);
        // (an empty zone's first entry will be its coldest)
        let quiet = if coldest > 0 && end == 0 { u64::MAX } else { end };
        self.quiet.store(quiet, Ordering::Relaxed);
        // Once for as many operations as there are entries: so it costs each of them little.
        let entries: usize = all.guards.iter().map(|store| store.len()).sum();
        if self.wholes.fetch_add(1, Ordering::Relaxed) >= entries as u64 {
            self.wholes.store(0, Ordering::Relaxed);
            let soonest = all.guards.iter().filter_map(|store| store.soonest()).min();
            self.soonest.store(soonest.unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        done
    }
}

impl Locked<'_> {
    /// All shards are locked.
    pub fn whole(&self) -> bool {
        self.guards.len() == SHARDS
    }

    /// The entry of the operation's key.
    pub fn find(&self, key: &[u8]) -> Option<Id> {
        let shard = (self.hash >> 32) as usize & (SHARDS - 1);
        let index = self.guards[shard - self.first].find(self.hash, key)?;
        Some(Id { shard, index })
    }

    pub fn entry(&self, id: Id) -> &Entry {
        self.guards[id.shard - self.first].entry(id.index)
    }

    /// To change it. (For its end, there is `end_at`.)
    pub fn entry_mut(&mut self, id: Id) -> &mut Entry {
        self.guards[id.shard - self.first].entry_mut(id.index)
    }

    pub fn end_at(&mut self, id: Id, expires: u64) {
        self.disturb(id);
        self.entry_mut(id).expires = expires;
        self.ends(expires);
    }

    /// Adds the operation's key as the newest entry; `span` is the room taken for it.
    pub fn insert(&mut self, key: &[u8], held: Held, expires: u64, flags: u32, span: Span) -> Id {
        let shard = (self.hash >> 32) as usize & (SHARDS - 1);
        self.ends(expires);
        if self.zone.coldest.load(Ordering::Relaxed) == 0 {
            self.zone.quiet.store(0, Ordering::Relaxed);
        }
        let new = New { key, held, expires, flags, span, stamp: stamp() };
        let index = self.guards[shard - self.first].insert(self.hash, new);
        Id { shard, index }
    }

    /// Removes an entry and gives back all its room.
    pub fn remove(&mut self, id: Id) {
        self.disturb(id);
        let Some(entry) = self.guards[id.shard - self.first].remove(id.index) else { return };
        let mut slab = lock(&self.zone.slab);
        if let Held::List(list) = entry.held {
            list.into_iter().for_each(|(_, span)| slab.free(span));
        }
        slab.free(entry.span);
    }

    /// Makes the entry the most recently used one.
    pub fn touch(&mut self, id: Id) {
        self.disturb(id);
        self.guards[id.shard - self.first].touch(id.index, stamp());
    }

    pub fn alloc(&self, size: usize) -> Option<Span> {
        lock(&self.zone.slab).alloc(size)
    }

    pub fn free(&self, span: Span) {
        lock(&self.zone.slab).free(span);
    }

    /// The least recently used entry of all; all shards must be locked.
    pub fn oldest(&self) -> Option<Id> {
        let ends = self.guards.iter().enumerate().filter_map(|(at, store)| {
            let index = store.oldest()?;
            Some((store.entry(index).stamp, Id { shard: at + self.first, index }))
        });
        ends.min_by_key(|(stamp, _)| *stamp).map(|(_, id)| id)
    }

    /// Every entry, the least recently used one first; all shards must be locked.
    pub fn by_age(&self) -> Vec<Id> {
        let mut all = Vec::with_capacity(self.guards.iter().map(|store| store.len()).sum());
        for (at, store) in self.guards.iter().enumerate() {
            let mut next = store.oldest();
            while let Some(index) = next {
                all.push((store.entry(index).stamp, Id { shard: at + self.first, index }));
                next = store.newer(index);
            }
        }
        all.sort_unstable_by_key(|(stamp, _)| *stamp);
        all.into_iter().map(|(_, id)| id).collect()
    }

    /// An entry ends then: nobody is to think that none does.
    fn ends(&self, expires: u64) {
        if expires > 0 && expires < self.zone.soonest.load(Ordering::Relaxed) {
            self.zone.soonest.fetch_min(expires, Ordering::Relaxed);
        }
    }

    /// The coldest entry will be another, or end at another time.
    fn disturb(&self, id: Id) {
        if self.entry(id).stamp == self.zone.coldest.load(Ordering::Relaxed)
            && self.zone.quiet.load(Ordering::Relaxed) != 0
        {
            self.zone.quiet.store(0, Ordering::Relaxed);
        }
    }
}
