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
//! the API converts seconds once. An operation locks its key's shard, or the whole zone, for its whole length, and none calls out
//! meanwhile (`shards`).

pub(crate) mod events;
mod shards;
mod slab;
mod store;

use std::collections::VecDeque;
use std::sync::Arc;

use shards::{Id, Locked, Shards};
use slab::{Slab, Span};
use store::Held;

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
    shards: Shards,
    pub(crate) events: events::Events,
}

impl Zone {
    /// A zone of `bytes` bytes, as `lua_shared_dict NAME BYTES` makes it.
    pub fn new(name: &str, bytes: usize) -> Arc<Zone> {
        let mut slab = Slab::new(bytes);
        // The module's own two allocations come first; a zone too small for them can hold nothing anyway.
        let _ = slab.alloc(SHARED_HEADER);
        let _ = slab.alloc(LOG_CONTEXT + name.len());
        Arc::new(Zone { name: name.to_owned(), bytes, shards: Shards::new(slab), events: events::Events::default() })
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
        self.shards.free_space()
    }

    /// The value and flags, or `Value::Nil` when there is none or it has expired.
    pub fn get(&self, key: &[u8], now: u64) -> Result<(Value, u32), Error> {
        self.shards.with(key, now, |store| {
            expire(store, now, false);
            Some(match look_up(store, key, now) {
                Found::Live(id) => value_of(store, id),
                Found::Expired(_) | Found::Nothing => Ok((Value::Nil, 0)),
            })
        })
    }

    /// As `get`, but an expired entry is still seen; the last part tells that it has expired.
    pub fn get_stale(&self, key: &[u8], now: u64) -> Result<(Value, u32, bool), Error> {
        self.shards.with(key, now, |store| {
            let (id, stale) = match look_up(store, key, now) {
                Found::Live(id) => (id, false),
                Found::Expired(id) => (id, true),
                Found::Nothing => return Some(Ok((Value::Nil, 0, false))),
            };
            Some(value_of(store, id).map(|(value, flags)| (value, flags, stale)))
        })
    }

    /// `set`, `safe_set`, `add`, `safe_add` and `replace`. Setting nil deletes.
    pub fn store(&self, mode: Mode, key: &[u8], value: Value, ttl: u64, flags: u32, now: u64) -> Stored {
        let (mut forcible, mut value) = (false, value);
        let end = end_of(ttl, now);
        let result = check_key(key).and_then(|()| {
            let size = stored_size(&value);
            if size.is_none() && !matches!(mode, Mode::Set | Mode::SafeSet) {
                return Err(Error::NilValue);
            }
            self.shards.with(key, now, |store| {
                try_store(store, mode, key, Stores { value: &mut value, size, end, flags }, now, &mut forcible)
            })
        });
        Stored { result, forcible }
    }

    /// Removes the entry if there is one.
    pub fn delete(&self, key: &[u8], now: u64) -> Result<(), Error> {
        self.store(Mode::Set, key, Value::Nil, 0, 0, now).result
    }

    /// Adds `by` to a number. Without an entry, `init` (value before adding, lifetime in ms) makes one or `NotFound`.
    pub fn incr(&self, key: &[u8], by: f64, init: Option<(f64, u64)>, now: u64) -> (Result<f64, Error>, bool) {
        let mut forcible = false;
        let result = check_key(key)
            .and_then(|()| self.shards.with(key, now, |store| try_incr(store, key, by, init, now, &mut forcible)));
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
        let mut value = Some(value);
        self.shards.with(key, now, |store| Some(push(store, end, key, &mut value, size, now)))
    }

    /// Takes from an end of a list: `Value::Nil` when there is no such entry. The last item takes the entry with it.
    pub fn pop(&self, end: End, key: &[u8], now: u64) -> Result<Value, Error> {
        check_key(key)?;
        self.shards.with(key, now, |store| Some(pop(store, end, key, now)))
    }

    /// The length of a list; 0 when there is no such entry.
    pub fn llen(&self, key: &[u8], now: u64) -> Result<usize, Error> {
        check_key(key)?;
        self.shards.with(key, now, |store| {
            expire(store, now, false);
            let Found::Live(id) = look_up(store, key, now) else { return Some(Ok(0)) };
            Some(match &store.entry(id).held {
                Held::List(list) => Ok(list.len()),
                Held::Value(_) => Err(Error::ValueNotAList),
            })
        })
    }

    /// What is left of the entry's life in ms: 0 for ever, negative once it has expired and is still there.
    pub fn ttl(&self, key: &[u8], now: u64) -> Result<i64, Error> {
        self.shards.with(key, now, |store| {
            let Some(id) = store.find(key) else { return Some(Err(Error::NotFound)) };
            let expires = store.entry(id).expires;
            Some(Ok(if expires == 0 { 0 } else { expires.wrapping_sub(now) as i64 }))
        })
    }

    /// Gives the entry a new life of `ttl` ms from now (0 for ever), even if it has expired.
    pub fn expire(&self, key: &[u8], ttl: u64, now: u64) -> Result<(), Error> {
        self.shards.with(key, now, |store| {
            let Some(id) = store.find(key) else { return Some(Err(Error::NotFound)) };
            store.end_at(id, end_of(ttl, now));
            Some(Ok(()))
        })
    }

    /// Marks all entries expired. Their room comes back as they are dropped or by `flush_expired`.
    pub fn flush_all(&self, now: u64) {
        self.shards.with_all(|store| {
            for id in store.by_age() {
                store.end_at(id, 1);
            }
            expire(store, now, true);
        });
    }

    /// Removes expired entries, coldest first, `max` at most (0: all); how many.
    pub fn flush_expired(&self, max: usize, now: u64) -> usize {
        self.shards.with_all(|store| {
            let mut ended = store.by_age();
            ended.retain(|id| store.entry(*id).expired(now));
            ended.truncate(if max == 0 { usize::MAX } else { max });
            ended.iter().for_each(|id| store.remove(*id));
            ended.len()
        })
    }

    /// Keys of live entries, coldest first, `max` at most (0: all; Lua's default is 1024).
    pub fn keys(&self, max: usize, now: u64) -> Vec<Box<[u8]>> {
        self.shards.with_all(|store| {
            let live = store.by_age().into_iter().map(|id| store.entry(id)).filter(|entry| !entry.expired(now));
            live.take(if max == 0 { usize::MAX } else { max }).map(|entry| entry.key.clone()).collect()
        })
    }
}

/// What is to be stored.
struct Stores<'v> {
    /// Taken when it is.
    value: &'v mut Value,
    /// None: nil, which deletes.
    size: Option<usize>,
    end: u64,
    flags: u32,
}

/// None: it needs the whole zone, and has changed nothing yet.
fn try_store(
    store: &mut Locked<'_>,
    mode: Mode,
    key: &[u8],
    new: Stores<'_>,
    now: u64,
    forcible: &mut bool,
) -> Option<Result<(), Error>> {
    let Stores { value, size, end, flags } = new;
    expire(store, now, false);
    let old = match (mode, look_up(store, key, now)) {
        (Mode::Replace, Found::Nothing | Found::Expired(_)) => return Some(Err(Error::NotFound)),
        (Mode::Add | Mode::SafeAdd, Found::Live(_)) => return Some(Err(Error::Exists)),
        (_, Found::Live(id) | Found::Expired(id)) => Some(id),
        (_, Found::Nothing) => None,
    };
    if let Some(id) = old {
        let same_room = matches!(&store.entry(id).held, Held::Value(old) if size.is_some() && stored_size(old) == size);
        if same_room {
            put(store, id, std::mem::replace(value, Value::Nil), end, flags);
            return Some(Ok(()));
        }
        // (room for the new one may be somebody else's)
        if size.is_some() && !store.whole() {
            return None;
        }
        store.remove(id);
    }
    let Some(size) = size else { return Some(Ok(())) };
    let may_evict = !matches!(mode, Mode::SafeSet | Mode::SafeAdd);
    Some(match make_room(store, ENTRY_HEADER + key.len() + size, may_evict, now, forcible)? {
        Some(span) => {
            store.insert(key, Held::Value(std::mem::replace(value, Value::Nil)), end, flags, span);
            Ok(())
        }
        None => Err(Error::NoMemory),
    })
}

/// Stores over an entry of the same size.
fn put(store: &mut Locked<'_>, id: Id, value: Value, end: u64, flags: u32) {
    store.touch(id);
    if store.entry(id).expires != end {
        store.end_at(id, end);
    }
    let entry = store.entry_mut(id);
    (entry.held, entry.flags) = (Held::Value(value), flags);
}

/// None: it needs the whole zone, and has changed nothing yet.
fn try_incr(
    store: &mut Locked<'_>,
    key: &[u8],
    by: f64,
    init: Option<(f64, u64)>,
    now: u64,
    forcible: &mut bool,
) -> Option<Result<f64, Error>> {
    expire(store, now, false);
    let found = look_up(store, key, now);
    if let Found::Live(id) = found {
        let Held::Value(Value::Number(number)) = &mut store.entry_mut(id).held else {
            return Some(Err(Error::NotANumber));
        };
        *number += by;
        return Some(Ok(*number));
    }
    let Some((start, ttl)) = init else { return Some(Err(Error::NotFound)) };
    let (sum, end) = (start + by, end_of(ttl, now));
    if let Found::Expired(id) = found {
        let same_room = matches!(&store.entry(id).held, Held::Value(old) if stored_size(old) == Some(NUMBER));
        if same_room {
            put(store, id, Value::Number(sum), end, 0);
            return Some(Ok(sum));
        }
        if !store.whole() {
            return None;
        }
        store.remove(id);
    }
    Some(match make_room(store, ENTRY_HEADER + key.len() + NUMBER, true, now, forcible)? {
        Some(span) => {
            store.insert(key, Held::Value(Value::Number(sum)), end, 0, span);
            Ok(sum)
        }
        None => Err(Error::NoMemory),
    })
}

fn push(
    store: &mut Locked<'_>,
    end: End,
    key: &[u8],
    value: &mut Option<Value>,
    size: usize,
    now: u64,
) -> Result<usize, Error> {
    expire(store, now, false);
    let id = match look_up(store, key, now) {
        Found::Live(id) => {
            if !matches!(store.entry(id).held, Held::List(_)) {
                return Err(Error::ValueNotAList);
            }
            id
        }
        Found::Expired(id) if matches!(store.entry(id).held, Held::List(_)) => {
            store.end_at(id, 0);
            if let Held::List(old) = std::mem::replace(&mut store.entry_mut(id).held, Held::List(VecDeque::new())) {
                old.into_iter().for_each(|(_, span)| store.free(span));
            }
            id
        }
        found => {
            if let Found::Expired(id) = found {
                store.remove(id);
            }
            let room = (ENTRY_HEADER + key.len() + LIST_HEAD).next_multiple_of(8);
            let span = store.alloc(room).ok_or(Error::NoMemory)?;
            store.insert(key, Held::List(VecDeque::new()), 0, 0, span)
        }
    };
    store.touch(id);
    let span = store.alloc(LIST_ITEM + size);
    let (Some(span), Held::List(list)) = (span, &mut store.entry_mut(id).held) else {
        if matches!(&store.entry(id).held, Held::List(list) if list.is_empty()) {
            store.remove(id);
        }
        return Err(Error::NoMemory);
    };
    let item = (value.take().unwrap_or(Value::Nil), span);
    match end {
        End::Left => list.push_front(item),
        End::Right => list.push_back(item),
    }
    Ok(list.len())
}

fn pop(store: &mut Locked<'_>, end: End, key: &[u8], now: u64) -> Result<Value, Error> {
    expire(store, now, false);
    let Found::Live(id) = look_up(store, key, now) else { return Ok(Value::Nil) };
    let Held::List(list) = &mut store.entry_mut(id).held else { return Err(Error::ValueNotAList) };
    let item = match end {
        End::Left => list.pop_front(),
        End::Right => list.pop_back(),
    };
    let left = list.len();
    let value = item.map_or(Value::Nil, |(value, span)| {
        store.free(span);
        value
    });
    match left {
        0 => store.remove(id),
        _ => store.touch(id),
    }
    Ok(value)
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
fn look_up(store: &mut Locked<'_>, key: &[u8], now: u64) -> Found {
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
/// Returns whether any was dropped. (With one shard locked it is known that there are none.)
fn expire(store: &mut Locked<'_>, now: u64, force: bool) -> bool {
    let mut any = false;
    for round in usize::from(!force)..3 {
        let Some(id) = store.whole().then(|| store.oldest()).flatten() else { break };
        if round > 0 && !store.entry(id).expired(now) {
            break;
        }
        store.remove(id);
        any = true;
    }
    any
}

/// Some(None): there is no room. None: there might be, with the whole zone.
fn make_room(
    store: &mut Locked<'_>,
    size: usize,
    may_evict: bool,
    now: u64,
    forcible: &mut bool,
) -> Option<Option<Span>> {
    if let Some(span) = store.alloc(size) {
        return Some(Some(span));
    }
    if !may_evict {
        return Some(None);
    }
    if !store.whole() {
        return None;
    }
    for _ in 0..EVICTION_ROUNDS {
        if !expire(store, now, true) {
            break;
        }
        *forcible = true;
        if let Some(span) = store.alloc(size) {
            return Some(Some(span));
        }
    }
    Some(None)
}

fn value_of(store: &Locked<'_>, id: Id) -> Result<(Value, u32), Error> {
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
