//! The entries of one shard of a zone: entries by index, a hash index over them and the LRU list through them.
//!
//! Nothing here knows a lock or Lua's semantics; `Zone` does. What must stay true: an entry is in the hash index and
//! in the LRU list, or on the free list; the list is in the order of the entries' stamps.

use std::collections::VecDeque;

use super::Value;
use super::slab::Span;

/// Index of an entry in its shard; stays valid until the entry is removed.
pub type Index = u32;

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
    pub span: Span,
    /// When it was used last: greater than that of any entry, in any shard, that was used before.
    pub stamp: u64,
    hash: u64,
    chain: Index,
    newer: Index,
    older: Index,
}

impl Entry {
    pub fn expired(&self, now: u64) -> bool {
        self.expires != 0 && self.expires <= now
    }
}

/// What an entry is made of.
pub struct New<'k> {
    pub key: &'k [u8],
    pub held: Held,
    pub expires: u64,
    pub flags: u32,
    pub span: Span,
    pub stamp: u64,
}

#[derive(Debug)]
pub struct Store {
    entries: Vec<Option<Entry>>,
    vacant: Vec<Index>,
    /// Heads of the hash chains; the length is a power of two.
    buckets: Vec<Index>,
    newest: Index,
    oldest: Index,
}

impl Store {
    pub fn new() -> Store {
        Store { entries: Vec::new(), vacant: Vec::new(), buckets: vec![NONE; 16], newest: NONE, oldest: NONE }
    }

    pub fn find(&self, hash: u64, key: &[u8]) -> Option<Index> {
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

    pub fn entry(&self, id: Index) -> &Entry {
        self.entries[id as usize].as_ref().expect("ids name live entries")
    }

    pub fn entry_mut(&mut self, id: Index) -> &mut Entry {
        self.entries[id as usize].as_mut().expect("ids name live entries")
    }

    /// Adds an entry as the newest one. `key` must not be there yet.
    pub fn insert(&mut self, hash: u64, new: New<'_>) -> Index {
        let New { key, held, expires, flags, span, stamp } = new;
        if self.len() >= self.buckets.len() {
            self.grow();
        }
        let bucket = self.bucket(hash);
        let chain = self.buckets[bucket];
        let key = key.into();
        let entry = Entry { key, held, expires, flags, span, stamp, hash, chain, newer: NONE, older: NONE };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.entries[id as usize] = Some(entry);
                id
            }
            None => {
                self.entries.push(Some(entry));
                (self.entries.len() - 1) as Index
            }
        };
        self.buckets[bucket] = id;
        self.link_newest(id);
        id
    }

    /// Takes an entry out; its room is the caller's to give back.
    pub fn remove(&mut self, id: Index) -> Option<Entry> {
        self.unlink(id);
        let entry = self.entries[id as usize].take()?;
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
        self.vacant.push(id);
        Some(entry)
    }

    pub fn len(&self) -> usize {
        self.entries.len() - self.vacant.len()
    }

    /// The earliest end of an entry that has one.
    pub fn soonest(&self) -> Option<u64> {
        self.entries.iter().flatten().map(|entry| entry.expires).filter(|end| *end > 0).min()
    }

    /// Makes the entry the most recently used one.
    pub fn touch(&mut self, id: Index, stamp: u64) {
        if self.newest != id {
            self.unlink(id);
            self.link_newest(id);
        }
        self.entry_mut(id).stamp = stamp;
    }

    /// The least recently used entry.
    pub fn oldest(&self) -> Option<Index> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// The next more recently used one after `id`.
    pub fn newer(&self, id: Index) -> Option<Index> {
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
            let head = std::mem::replace(&mut self.buckets[bucket], id as Index);
            self.entry_mut(id as Index).chain = head;
        }
    }

    fn link_newest(&mut self, id: Index) {
        let second = std::mem::replace(&mut self.newest, id);
        let entry = self.entry_mut(id);
        (entry.newer, entry.older) = (NONE, second);
        match second {
            NONE => self.oldest = id,
            _ => self.entry_mut(second).newer = id,
        }
    }

    fn unlink(&mut self, id: Index) {
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

const NONE: Index = Index::MAX;
