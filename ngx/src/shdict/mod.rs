//! Shared dictionaries (`lua_shared_dict`, `ngx.shared.DICT`): the only memory that workers have in common.
//!
//! A `Zone` is one dictionary: keys of 1 to 65535 bytes to nil, booleans, numbers, strings or lists of numbers and
//! strings, with an optional end time and 32 flag bits an entry. It is bounded: `slab` accounts for every entry by
//! nginx's rules, and a zone that is full evicts its least recently used entries or says `no memory`. Semantics,
//! order of steps and error words are those of lua-nginx-module (ngx_http_lua_shdict.c):
//! - most operations first drop up to two entries from the cold end that have expired;
//! - an expired entry is invisible to `get`, but stays until it is dropped, replaced or flushed (`get_stale` sees it);
//! - storing over an entry of equal size happens in place; otherwise the old one goes first, so that a `no memory`
//!   afterwards has lost it;
//! - `set`, `add`, `replace` and `incr` evict by force, 30 rounds at most; `safe_set`, `safe_add` and pushes never do.
//!
//! Time is passed in (`now`, unix ms) and lifetimes (`ttl`) are ms with 0 for "never", so a test is deterministic and
//! the API converts seconds once. All operations lock the zone for their whole length, and none calls out meanwhile.

mod slab;
mod store;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::{Slab, Span};
use store::{Held, Id, Store};

/// A value as Lua hands it in or gets it back.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Nil,
    Bool(bool),
    Number(f64),
    Bytes(Box<[u8]>),
}

/// Why an operation failed; `Display` gives the words that Lua sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    NoMemory,
    Exists,
    NotFound,
    NotANumber,
    ValueIsAList,
    ValueNotAList,
    BadValueType,
    KeyTooLong,
    EmptyKey,
    NilValue,
}

/// How `Zone::store` treats an existing entry and a full zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Set,
    SafeSet,
    Add,
    SafeAdd,
    Replace,
}

/// Which end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Left,
    Right,
}

/// The outcome of a store: `forcible` tells whether entries that had not expired were evicted for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub result: Result<(), Error>,
    pub forcible: bool,
}

/// One shared dictionary. `Send + Sync`; share it as `Arc<Zone>`.
#[derive(Debug)]
pub struct Zone {
    name: String,
    bytes: usize,
    store: Mutex<Store>,
}

impl Zone {
    /// A zone of `bytes` bytes, as `lua_shared_dict NAME BYTES` makes it.
    pub fn new(name: &str, bytes: usize) -> Arc<Zone> {
        let mut slab = Slab::new(bytes);
        // The module's own two allocations come first; a zone too small for them can hold nothing anyway.
        let _ = slab.alloc(SHARED_HEADER);
        let _ = slab.alloc(LOG_CONTEXT + name.len());
        Arc::new(Zone { name: name.to_owned(), bytes, store: Mutex::new(Store::new(slab)) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The size the zone was declared with, in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes
    }

    /// Free whole pages, in bytes. Can be 0 while small entries still fit.
    pub fn free_space(&self) -> usize {
        self.lock().slab.free_space()
    }

    /// The value and flags, or `Value::Nil` when there is none or it has expired.
    pub fn get(&self, key: &[u8], now: u64) -> Result<(Value, u32), Error> {
        let mut store = self.lock();
        expire(&mut store, now, false);
        match look_up(&mut store, key, now) {
            Found::Live(id) => value_of(&store, id),
            Found::Expired(_) | Found::Nothing => Ok((Value::Nil, 0)),
        }
    }

    /// As `get`, but an expired entry is still seen; the last part tells that it has expired.
    pub fn get_stale(&self, key: &[u8], now: u64) -> Result<(Value, u32, bool), Error> {
        let mut store = self.lock();
        let (id, stale) = match look_up(&mut store, key, now) {
            Found::Live(id) => (id, false),
            Found::Expired(id) => (id, true),
            Found::Nothing => return Ok((Value::Nil, 0, false)),
        };
        value_of(&store, id).map(|(value, flags)| (value, flags, stale))
    }

    /// `set`, `safe_set`, `add`, `safe_add` and `replace`. Setting nil deletes.
    pub fn store(&self, mode: Mode, key: &[u8], value: Value, ttl: u64, flags: u32, now: u64) -> Stored {
        let mut forcible = false;
        let result = self.try_store(mode, key, value, ttl, flags, now, &mut forcible);
        Stored { result, forcible }
    }

    /// Removes the entry if there is one.
    pub fn delete(&self, key: &[u8], now: u64) -> Result<(), Error> {
        self.store(Mode::Set, key, Value::Nil, 0, 0, now).result
    }

    /// Adds `by` to a number. Without an entry, `init` (value before adding, lifetime in ms) makes one or `NotFound`.
    pub fn incr(&self, key: &[u8], by: f64, init: Option<(f64, u64)>, now: u64) -> (Result<f64, Error>, bool) {
        let mut forcible = false;
        let result = self.try_incr(key, by, init, now, &mut forcible);
        (result, forcible)
    }

    /// Adds to an end of a list, making the list if needed; its new length.
    pub fn push(&self, end: End, key: &[u8], value: Value, now: u64) -> Result<usize, Error> {
        check_key(key)?;
        let size = match &value {
            Value::Number(_) => NUMBER,
            Value::Bytes(bytes) => bytes.len(),
            Value::Nil | Value::Bool(_) => return Err(Error::BadValueType),
        };
        let mut store = self.lock();
        expire(&mut store, now, false);
        let id = match look_up(&mut store, key, now) {
            Found::Live(id) => {
                if !matches!(store.entry(id).held, Held::List(_)) {
                    return Err(Error::ValueNotAList);
                }
                id
            }
            Found::Expired(id) if matches!(store.entry(id).held, Held::List(_)) => {
                let entry = store.entry_mut(id);
                entry.expires = 0;
                if let Held::List(old) = std::mem::replace(&mut entry.held, Held::List(VecDeque::new())) {
                    for (_, span) in old {
                        store.slab.free(span);
                    }
                }
                id
            }
            found => {
                if let Found::Expired(id) = found {
                    store.remove(id);
                }
                let room = (ENTRY_HEADER + key.len() + LIST_HEAD).next_multiple_of(8);
                let span = store.slab.alloc(room).ok_or(Error::NoMemory)?;
                store.insert(key, Held::List(VecDeque::new()), 0, 0, span)
            }
        };
        store.touch(id);
        let span = store.slab.alloc(LIST_ITEM + size);
        let (Some(span), Held::List(list)) = (span, &mut store.entry_mut(id).held) else {
            if matches!(&store.entry(id).held, Held::List(list) if list.is_empty()) {
                store.remove(id);
            }
            return Err(Error::NoMemory);
        };
        match end {
            End::Left => list.push_front((value, span)),
            End::Right => list.push_back((value, span)),
        }
        Ok(list.len())
    }

    /// Takes from an end of a list: `Value::Nil` when there is no such entry. The last item takes the entry with it.
    pub fn pop(&self, end: End, key: &[u8], now: u64) -> Result<Value, Error> {
        check_key(key)?;
        let mut store = self.lock();
        expire(&mut store, now, false);
        let Found::Live(id) = look_up(&mut store, key, now) else { return Ok(Value::Nil) };
        let Held::List(list) = &mut store.entry_mut(id).held else { return Err(Error::ValueNotAList) };
        let item = match end {
            End::Left => list.pop_front(),
            End::Right => list.pop_back(),
        };
        let left = list.len();
        let value = item.map_or(Value::Nil, |(value, span)| {
            store.slab.free(span);
            value
        });
        match left {
            0 => store.remove(id),
            _ => store.touch(id),
        }
        Ok(value)
    }

    /// The length of a list; 0 when there is no such entry.
    pub fn llen(&self, key: &[u8], now: u64) -> Result<usize, Error> {
        check_key(key)?;
        let mut store = self.lock();
        expire(&mut store, now, false);
        let Found::Live(id) = look_up(&mut store, key, now) else { return Ok(0) };
        match &store.entry(id).held {
            Held::List(list) => Ok(list.len()),
            Held::Value(_) => Err(Error::ValueNotAList),
        }
    }

    /// What is left of the entry's life in ms: 0 for ever, negative once it has expired and is still there.
    pub fn ttl(&self, key: &[u8], now: u64) -> Result<i64, Error> {
        let store = self.lock();
        let entry = store.entry(store.find(key).ok_or(Error::NotFound)?);
        Ok(if entry.expires == 0 { 0 } else { entry.expires.wrapping_sub(now) as i64 })
    }

    /// Gives the entry a new life of `ttl` ms from now (0 for ever), even if it has expired.
    pub fn expire(&self, key: &[u8], ttl: u64, now: u64) -> Result<(), Error> {
        let mut store = self.lock();
        let id = store.find(key).ok_or(Error::NotFound)?;
        store.entry_mut(id).expires = end_of(ttl, now);
        Ok(())
    }

    /// Marks all entries expired. Their room comes back as they are dropped or by `flush_expired`.
    pub fn flush_all(&self, now: u64) {
        let mut store = self.lock();
        let mut at = store.oldest();
        while let Some(id) = at {
            store.entry_mut(id).expires = 1;
            at = store.newer(id);
        }
        expire(&mut store, now, true);
    }

    /// Removes expired entries, coldest first, `max` at most (0: all); how many.
    pub fn flush_expired(&self, max: usize, now: u64) -> usize {
        let mut store = self.lock();
        let mut freed = 0;
        let mut at = store.oldest();
        while let Some(id) = at {
            at = store.newer(id);
            if store.entry(id).expired(now) {
                store.remove(id);
                freed += 1;
                if freed == max {
                    break;
                }
            }
        }
        freed
    }

    /// Keys of live entries, coldest first, `max` at most (0: all; Lua's default is 1024).
    pub fn keys(&self, max: usize, now: u64) -> Vec<Box<[u8]>> {
        let store = self.lock();
        let mut keys = Vec::new();
        let mut at = store.oldest();
        while let Some(id) = at {
            let entry = store.entry(id);
            if !entry.expired(now) {
                keys.push(entry.key.clone());
                if keys.len() == max {
                    break;
                }
            }
            at = store.newer(id);
        }
        keys
    }

    fn try_store(
        &self,
        mode: Mode,
        key: &[u8],
        value: Value,
        ttl: u64,
        flags: u32,
        now: u64,
        forcible: &mut bool,
    ) -> Result<(), Error> {
        check_key(key)?;
        let size = stored_size(&value);
        if size.is_none() && !matches!(mode, Mode::Set | Mode::SafeSet) {
            return Err(Error::NilValue);
        }
        let mut store = self.lock();
        expire(&mut store, now, false);
        let old = match (mode, look_up(&mut store, key, now)) {
            (Mode::Replace, Found::Nothing | Found::Expired(_)) => return Err(Error::NotFound),
            (Mode::Add | Mode::SafeAdd, Found::Live(_)) => return Err(Error::Exists),
            (_, Found::Live(id) | Found::Expired(id)) => Some(id),
            (_, Found::Nothing) => None,
        };
        if let Some(id) = old {
            let same_room =
                matches!(&store.entry(id).held, Held::Value(old) if size.is_some() && stored_size(old) == size);
            if same_room {
                store.touch(id);
                let entry = store.entry_mut(id);
                (entry.held, entry.expires, entry.flags) = (Held::Value(value), end_of(ttl, now), flags);
                return Ok(());
            }
            store.remove(id);
        }
        let Some(size) = size else { return Ok(()) };
        let may_evict = !matches!(mode, Mode::SafeSet | Mode::SafeAdd);
        let span = make_room(&mut store, ENTRY_HEADER + key.len() + size, may_evict, now, forcible)?;
        store.insert(key, Held::Value(value), end_of(ttl, now), flags, span);
        Ok(())
    }

    fn try_incr(
        &self,
        key: &[u8],
        by: f64,
        init: Option<(f64, u64)>,
        now: u64,
        forcible: &mut bool,
    ) -> Result<f64, Error> {
        check_key(key)?;
        let mut store = self.lock();
        expire(&mut store, now, false);
        let found = look_up(&mut store, key, now);
        if let Found::Live(id) = found {
            let Held::Value(Value::Number(number)) = &mut store.entry_mut(id).held else {
                return Err(Error::NotANumber);
            };
            *number += by;
            return Ok(*number);
        }
        let (start, ttl) = init.ok_or(Error::NotFound)?;
        let sum = start + by;
        let expires = end_of(ttl, now);
        if let Found::Expired(id) = found {
            let same_room = matches!(&store.entry(id).held, Held::Value(old) if stored_size(old) == Some(NUMBER));
            if same_room {
                store.touch(id);
                let entry = store.entry_mut(id);
                (entry.held, entry.expires, entry.flags) = (Held::Value(Value::Number(sum)), expires, 0);
                return Ok(sum);
            }
            store.remove(id);
        }
        let span = make_room(&mut store, ENTRY_HEADER + key.len() + NUMBER, true, now, forcible)?;
        store.insert(key, Held::Value(Value::Number(sum)), expires, 0, span);
        Ok(sum)
    }

    /// A panic elsewhere under the lock leaves at worst a miscounted page: the zone stays in service.
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Error {
    pub fn words(self) -> &'static str {
        match self {
            Error::NoMemory => "no memory",
            Error::Exists => "exists",
            Error::NotFound => "not found",
            Error::NotANumber => "not a number",
            Error::ValueIsAList => "value is a list",
            Error::ValueNotAList => "value not a list",
            Error::BadValueType => "bad value type",
            Error::KeyTooLong => "key too long",
            Error::EmptyKey => "empty key",
            Error::NilValue => "attempt to add or replace nil values",
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.words())
    }
}

impl std::error::Error for Error {}

/// A key as `ngx.shared` accepts it: 1 to 65535 bytes.
pub fn check_key(key: &[u8]) -> Result<(), Error> {
    match key.len() {
        0 => Err(Error::EmptyKey),
        1..=65535 => Ok(()),
        _ => Err(Error::KeyTooLong),
    }
}

enum Found {
    Live(Id),
    Expired(Id),
    Nothing,
}

/// Finds an entry; a live one becomes the most recently used.
fn look_up(store: &mut Store, key: &[u8], now: u64) -> Found {
    match store.find(key) {
        None => Found::Nothing,
        Some(id) if store.entry(id).expired(now) => Found::Expired(id),
        Some(id) => {
            store.touch(id);
            Found::Live(id)
        }
    }
}

/// Drops up to two expired entries from the cold end; with `force` the coldest one first, whatever its end.
/// Returns whether any was dropped.
fn expire(store: &mut Store, now: u64, force: bool) -> bool {
    let mut any = false;
    for round in usize::from(!force)..3 {
        let Some(id) = store.oldest() else { break };
        if round > 0 && !store.entry(id).expired(now) {
            break;
        }
        store.remove(id);
        any = true;
    }
    any
}

fn make_room(store: &mut Store, size: usize, may_evict: bool, now: u64, forcible: &mut bool) -> Result<Span, Error> {
    if let Some(span) = store.slab.alloc(size) {
        return Ok(span);
    }
    if may_evict {
        for _ in 0..EVICTION_ROUNDS {
            if !expire(store, now, true) {
                break;
            }
            *forcible = true;
            if let Some(span) = store.slab.alloc(size) {
                return Ok(span);
            }
        }
    }
    Err(Error::NoMemory)
}

fn value_of(store: &Store, id: Id) -> Result<(Value, u32), Error> {
    let entry = store.entry(id);
    match &entry.held {
        Held::Value(value) => Ok((value.clone(), entry.flags)),
        Held::List(_) => Err(Error::ValueIsAList),
    }
}

/// The bytes a value takes in the zone; nil is not stored.
fn stored_size(value: &Value) -> Option<usize> {
    match value {
        Value::Nil => None,
        Value::Bool(_) => Some(1),
        Value::Number(_) => Some(NUMBER),
        Value::Bytes(bytes) => Some(bytes.len()),
    }
}

fn end_of(ttl: u64, now: u64) -> u64 {
    if ttl > 0 { now.saturating_add(ttl) } else { 0 }
}

const EVICTION_ROUNDS: usize = 30;
/// An entry's bytes besides key and value: tree node, type, lengths, end, LRU links and flags.
const ENTRY_HEADER: usize = 68;
const LIST_HEAD: usize = 16;
const NUMBER: usize = 8;
const LIST_ITEM: usize = 21;
/// The zone's tree root and LRU head, and the constant part of its log message.
const SHARED_HEADER: usize = 80;
const LOG_CONTEXT: usize = 28;

#[cfg(test)]
mod tests;
