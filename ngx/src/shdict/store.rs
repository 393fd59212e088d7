//! The entries of one zone: a slab of entries by index, a hash index over them and the LRU list through them.
//!
//! Nothing here knows a lock or Lua's semantics; `Zone` does. What must stay true: an entry is in the hash index and
//! in the LRU list, or on the free list; its spans are accounted in `Slab` as long as it lives.

use std::collections::VecDeque;

use ahash::RandomState;

use super::Value;
use super::slab::{Slab, Span};

/// Index of an entry; stays valid until the entry is removed.
pub type Id = u32;

/// What an entry holds.
#[derive(Debug)]
pub enum Held {
    Value(Value),
    List(VecDeque<(Value, Span)>),
}

#[derive(Debug)]
pub struct Entry {
    pub key: Box<[u8]>,
    pub held: Held,
    /// Unix time in ms at which it ends; 0 is never.
    pub expires: u64,
    pub flags: u32,
    span: Span,
    hash: u64,
    chain: Id,
    newer: Id,
    older: Id,
}

impl Entry {
    pub fn expired(&self, now: u64) -> bool {
        self.expires != 0 && self.expires <= now
    }
}

#[derive(Debug)]
pub struct Store {
    entries: Vec<Option<Entry>>,
    vacant: Vec<Id>,
    /// Heads of the hash chains; the length is a power of two.
    buckets: Vec<Id>,
    hasher: RandomState,
    newest: Id,
    oldest: Id,
    pub slab: Slab,
}

impl Store {
    pub fn new(slab: Slab) -> Store {
        Store {
            entries: Vec::new(),
            vacant: Vec::new(),
            buckets: vec![NONE; 16],
            hasher: RandomState::new(),
            newest: NONE,
            oldest: NONE,
            slab,
        }
    }

    pub fn find(&self, key: &[u8]) -> Option<Id> {
        let hash = self.hasher.hash_one(key);
        let mut at = self.buckets[self.bucket(hash)];
        while at != NONE {
            let entry = self.entry(at);
            if entry.hash == hash && *entry.key == *key {
                return Some(at);
            }
            at = entry.chain;
        }
        None
    }

    pub fn entry(&self, id: Id) -> &Entry {
        self.entries[id as usize].as_ref().expect("ids name live entries")
    }

    pub fn entry_mut(&mut self, id: Id) -> &mut Entry {
        self.entries[id as usize].as_mut().expect("ids name live entries")
    }

    /// Adds an entry as the newest one. `key` must not be there yet; `span` is the room taken for it.
    pub fn insert(&mut self, key: &[u8], held: Held, expires: u64, flags: u32, span: Span) -> Id {
        if self.entries.len() - self.vacant.len() >= self.buckets.len() {
            self.grow();
        }
        let hash = self.hasher.hash_one(key);
        let bucket = self.bucket(hash);
        let chain = self.buckets[bucket];
        let entry = Entry { key: key.into(), held, expires, flags, span, hash, chain, newer: NONE, older: NONE };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.entries[id as usize] = Some(entry);
                id
            }
            None => {
                self.entries.push(Some(entry));
                (self.entries.len() - 1) as Id
            }
        };
        self.buckets[bucket] = id;
        self.link_newest(id);
        id
    }

    /// Removes an entry and gives back all its room.
    pub fn remove(&mut self, id: Id) {
        self.unlink(id);
        let Some(entry) = self.entries[id as usize].take() else { return };
        let bucket = self.bucket(entry.hash);
        if self.buckets[bucket] == id {
            self.buckets[bucket] = entry.chain;
        } else {
            let mut at = self.buckets[bucket];
            while self.entry(at).chain != id {
                at = self.entry(at).chain;
            }
            self.entry_mut(at).chain = entry.chain;
        }
        if let Held::List(list) = entry.held {
            for (_, span) in list {
                self.slab.free(span);
            }
        }
        self.slab.free(entry.span);
        self.vacant.push(id);
    }

    /// Makes the entry the most recently used one.
    pub fn touch(&mut self, id: Id) {
        if self.newest != id {
            self.unlink(id);
            self.link_newest(id);
        }
    }

    /// The least recently used entry.
    pub fn oldest(&self) -> Option<Id> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// The next more recently used one after `id`.
    pub fn newer(&self, id: Id) -> Option<Id> {
        let newer = self.entry(id).newer;
        (newer != NONE).then_some(newer)
    }

    fn bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    fn grow(&mut self) {
        self.buckets = vec![NONE; self.buckets.len() * 2];
        for id in 0..self.entries.len() {
            let Some(hash) = self.entries[id].as_ref().map(|entry| entry.hash) else { continue };
            let bucket = self.bucket(hash);
            let head = std::mem::replace(&mut self.buckets[bucket], id as Id);
            self.entry_mut(id as Id).chain = head;
        }
    }

    fn link_newest(&mut self, id: Id) {
        let second = std::mem::replace(&mut self.newest, id);
        let entry = self.entry_mut(id);
        (entry.newer, entry.older) = (NONE, second);
        match second {
            NONE => self.oldest = id,
            _ => self.entry_mut(second).newer = id,
        }
    }

    fn unlink(&mut self, id: Id) {
        let (newer, older) = (self.entry(id).newer, self.entry(id).older);
        match newer {
            NONE => self.newest = older,
            _ => self.entry_mut(newer).older = older,
        }
        match older {
            NONE => self.oldest = newer,
            _ => self.entry_mut(older).newer = newer,
        }
    }
}

const NONE: Id = Id::MAX;
