//! Tables: an array part for 1..n, an open-addressed hash part for the rest.
//!
//! What must stay true: a key's slot never moves while the table only has values assigned to existing keys (so `next` works and
//! inline caches hold); assigning nil leaves the key in place until the next rehash, but does not keep it alive: such a key is
//! compared as a word, never followed (strings excepted), and is written anew when the slot is used again. Writers go through `TableRef`'s methods,
//! which take the write barrier; the interpreter's own fast paths take it themselves.
use std::cell::Cell;

use gc_arena::Gc;
use gc_arena::lock::RefLock;

use super::string::{self, Str};
use super::value::{Kind, Value};

mod by_ref;
mod growth;

pub use by_ref::TableRef;
use growth::slots_for;

pub type Table<'gc> = Gc<'gc, RefLock<TableObj<'gc>>>;

#[derive(Clone, Copy)]
pub(crate) struct Node<'gc> {
    pub key: Value<'gc>,
    pub val: Value<'gc>,
}

impl Node<'_> {
    const EMPTY: Self = Node { key: Value::NIL, val: Value::NIL };
}

/// How the collector sees it is said in `value.rs`: entries without a value, and the weak halves of a weak table, keep nothing
/// alive.
#[derive(Default)]
pub struct TableObj<'gc> {
    pub(crate) arr: Vec<Value<'gc>>,
    /// A power of two of slots, or none; linear probing.
    pub(crate) nodes: Vec<Node<'gc>>,
    /// Slots with a key in them, dead ones included.
    pub(crate) used: u32,
    /// As a metatable: bit i says that metamethod i is known to be absent. Cleared whenever a key may have come.
    pub(crate) absent: Cell<u32>,
    /// As a metatable: where `__index` was found last.
    pub(crate) index_at: Cell<u32>,
    /// As the collector last saw its metatable's `__mode`; bits of `value::weak`.
    pub(crate) weak: Cell<u8>,
    pub(crate) meta: Option<Table<'gc>>,
}

/// Why a key cannot be assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKey {
    Nil,
    NaN,
}

impl BadKey {
    pub fn message(self) -> &'static str {
        match self {
            BadKey::Nil => "table index is nil",
            BadKey::NaN => "table index is NaN",
        }
    }
}

/// The array index (counting from 0) that a number names, if it is an integer; too large ones find nothing.
#[inline(always)]
pub(crate) fn array_index(n: f64) -> Option<usize> {
    // Adding this leaves an integer of up to 51 bits, and nothing else, in the low bits of the sum; what is beyond them comes
    // out greater than any array is long. (Cheaper than a conversion that saturates.)
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    let sum = n + SHIFT;
    if sum - SHIFT == n { Some(sum.to_bits().wrapping_sub(SHIFT.to_bits() + 1) as usize) } else { None }
}

/// Beyond this an integer key stays in the hash part.
const MAX_ARRAY: usize = 1 << 27;

fn hash_of(key: Value<'_>) -> u32 {
    let mix = |bits: u64| ((bits ^ (bits >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32;
    match key.kind() {
        Kind::Str(s) => s.hash(),
        // (0 and -0 are one key)
        Kind::Num(n) => mix((n + 0.0).to_bits()),
        Kind::Bool(b) => u32::from(b) + 1,
        _ => mix(key.address() as u64 >> 4),
    }
}

impl<'gc> TableObj<'gc> {
    pub fn with_capacity(array: usize, hash: usize) -> TableObj<'gc> {
        let mut t = TableObj::default();
        if array > 0 {
            t.arr.reserve_exact(array);
        }
        if hash > 0 {
            t.nodes = vec![Node::EMPTY; slots_for(hash)];
        }
        t
    }

    pub fn metatable(&self) -> Option<Table<'gc>> {
        self.meta
    }

    #[inline(always)]
    pub(crate) fn find_str(&self, key: Str<'gc>) -> Option<usize> {
        // (without slots there is no node at any index)
        let mask = self.nodes.len().wrapping_sub(1);
        let i = key.hash() as usize & mask;
        let node = self.nodes.get(i)?;
        // The first look decides nearly always.
        if node.key.identical(Value::str(key)) {
            return Some(i);
        }
        if node.key.is_nil() { None } else { self.probe_str(key, i, mask) }
    }
    #[inline(never)]
    fn probe_str(&self, key: Str<'gc>, mut i: usize, mask: usize) -> Option<usize> {
        loop {
            let node = &self.nodes[i];
            if let Some(s) = node.key.as_str() {
                if s.is(key) || s.same(key) {
                    return Some(i);
                }
            } else if node.key.is_nil() {
                return None;
            }
            i = (i + 1) & mask;
        }
    }

    pub(crate) fn find(&self, key: Value<'gc>) -> Option<usize> {
        if let Some(s) = key.as_str() {
            return self.find_str(s);
        }
        if self.nodes.is_empty() {
            return None;
        }
        let number = key.as_num();
        let mask = self.nodes.len() - 1;
        let mut i = hash_of(key) as usize & mask;
        loop {
            let node = &self.nodes[i];
            if node.key.is_nil() {
                return None;
            }
            // (64-bit integers are keys by identity, as in LuaJIT)
            if node.key.identical(key) || number.is_some() && node.key.as_num() == number {
                return Some(i);
            }
            i = (i + 1) & mask;
        }
    }

    pub fn get(&self, key: Value<'gc>) -> Value<'gc> {
        if let Some(n) = key.as_num() {
            return self.get_num(n);
        }
        match self.find(key) {
            Some(i) => self.nodes[i].val,
            None => Value::NIL,
        }
    }
    #[inline]
    pub fn get_str(&self, key: Str<'gc>) -> Value<'gc> {
        match self.find_str(key) {
            Some(i) => self.nodes[i].val,
            None => Value::NIL,
        }
    }
    /// How many items there are, where there is nothing but items (holes among them count).
    pub fn list_len(&self) -> Option<usize> {
        (self.used == 0).then_some(self.arr.len())
    }
    /// A field by its name, without making a string value of it.
    pub fn field(&self, name: &[u8]) -> Value<'gc> {
        self.get_bytes(name)
    }
    fn get_bytes(&self, name: &[u8]) -> Value<'gc> {
        if self.nodes.is_empty() {
            return Value::NIL;
        }
        let hash = string::hash(name);
        let mask = self.nodes.len() - 1;
        let mut i = hash as usize & mask;
        loop {
            let node = &self.nodes[i];
            match node.key.as_str() {
                Some(s) if s.hash() == hash && s.bytes() == name => return node.val,
                None if node.key.is_nil() => return Value::NIL,
                _ => i = (i + 1) & mask,
            }
        }
    }
    #[inline(always)]
    pub fn get_num(&self, n: f64) -> Value<'gc> {
        if let Some(i) = array_index(n) {
            if let Some(v) = self.arr.get(i) {
                return *v;
            }
        }
        self.get_num_hash(n)
    }
    #[inline(never)]
    fn get_num_hash(&self, n: f64) -> Value<'gc> {
        match self.find(Value::num(n)) {
            Some(i) => self.nodes[i].val,
            None => Value::NIL,
        }
    }
    /// `t[i]`, i counting from 1.
    #[inline(always)]
    pub fn get_int(&self, i: usize) -> Value<'gc> {
        match self.arr.get(i.wrapping_sub(1)) {
            Some(v) => *v,
            None => self.get_num_hash(i as f64),
        }
    }

    /// Assigns without metamethods and without a barrier: the caller has taken it.
    pub(crate) fn set(&mut self, key: Value<'gc>, v: Value<'gc>) -> Result<(), BadKey> {
        match key.kind() {
            Kind::Num(n) => {
                if n.is_nan() {
                    return Err(BadKey::NaN);
                }
                self.set_num(n, v);
            }
            Kind::Nil => return Err(BadKey::Nil),
            _ => {
                self.set_hash(key, v);
            }
        }
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn set_num(&mut self, n: f64, v: Value<'gc>) {
        if let Some(i) = array_index(n) {
            // (0 names no item: its index wraps around)
            if i < self.arr.len().saturating_sub(1) {
                self.arr[i] = v;
                return;
            }
        }
        self.set_num_edge(n, v);
    }
    /// At, or beyond, the end of the array part.
    #[inline(never)]
    fn set_num_edge(&mut self, n: f64, v: Value<'gc>) {
        match array_index(n) {
            Some(i) if i.checked_add(1) == Some(self.arr.len()) => {
                self.arr[i] = v;
                // A list that shrinks from its end keeps its length known.
                while self.arr.last().is_some_and(|v| v.is_nil()) {
                    self.arr.pop();
                }
            }
            Some(i) if i == self.arr.len() && i < MAX_ARRAY => {
                if v.is_nil() {
                    if self.used > 0 {
                        self.set_hash(Value::num(n), v);
                    }
                    return;
                }
                if self.used > 0 {
                    // The key may have come before its turn and sit in the hash part.
                    if let Some(at) = self.find(Value::num(n)) {
                        self.nodes[at].val = Value::NIL;
                    }
                    self.push(v);
                    self.migrate();
                } else {
                    self.push(v);
                }
            }
            _ => {
                // (-0 is 0)
                self.set_hash(Value::num(n + 0.0), v);
            }
        }
    }
    /// A constructor's list: its nils count as items where something follows them.
    pub(crate) fn set_list(&mut self, start: usize, values: &[Value<'gc>]) {
        if self.arr.len() + 1 == start && self.used == 0 {
            self.arr.extend_from_slice(values);
            while self.arr.last().is_some_and(|v| v.is_nil()) {
                self.arr.pop();
            }
            return;
        }
        for (i, v) in values.iter().enumerate() {
            self.set_num((start + i) as f64, *v);
        }
    }
    #[inline(always)]
    pub(crate) fn push(&mut self, v: Value<'gc>) {
        if self.arr.len() == self.arr.capacity() {
            self.grow();
        }
        self.arr.push(v);
    }
    /// Assigns in the hash part; returns the slot, if the key has one now.
    pub(crate) fn set_hash(&mut self, key: Value<'gc>, v: Value<'gc>) -> Option<usize> {
        if let Some(at) = self.find(key) {
            self.absent.set(0);
            self.nodes[at] = Node { key, val: v };
            return Some(at);
        }
        if v.is_nil() {
            return None;
        }
        self.absent.set(0);
        if (self.used as usize + 1) * 8 > self.nodes.len() * 7 {
            self.rehash(key);
            if let Some(i) = key.as_num().and_then(array_index) {
                // The array part may have grown over the new key.
                if i < self.arr.len() {
                    self.arr[i] = v;
                    return None;
                }
                if i == self.arr.len() && i < MAX_ARRAY {
                    self.push(v);
                    self.migrate();
                    return None;
                }
            }
        }
        let at = self.free_slot(hash_of(key));
        self.nodes[at] = Node { key, val: v };
        self.used += 1;
        Some(at)
    }
    /// Puts a new field into slot `at`, if that is where it belongs and free, as when objects of one shape are made. The caller
    /// has taken the barrier.
    #[inline(always)]
    pub(crate) fn insert_at(&mut self, at: usize, key: Value<'gc>, v: Value<'gc>) -> bool {
        let slots = self.nodes.len();
        let Some(name) = key.as_str() else { return false };
        if at != name.hash() as usize & slots.wrapping_sub(1) || (self.used as usize + 1) * 8 > slots * 7 || v.is_nil()
        {
            return false;
        }
        match self.nodes.get_mut(at) {
            Some(node) if node.key.is_nil() => *node = Node { key, val: v },
            _ => return false,
        }
        self.used += 1;
        self.absent.set(0);
        true
    }
    /// The border that `#t` gives.
    #[inline]
    pub fn len(&self) -> usize {
        match self.arr.last() {
            Some(last) if !last.is_nil() => {
                if self.used == 0 {
                    self.arr.len()
                } else {
                    self.len_hash(self.arr.len())
                }
            }
            Some(_) => {
                let (mut low, mut high) = (0, self.arr.len());
                while high - low > 1 {
                    let middle = (low + high) / 2;
                    if self.arr[middle - 1].is_nil() {
                        high = middle;
                    } else {
                        low = middle;
                    }
                }
                low
            }
            None if self.used == 0 => 0,
            None => self.len_hash(0),
        }
    }
    fn len_hash(&self, mut n: usize) -> usize {
        while !self.get_num_hash((n + 1) as f64).is_nil() {
            n += 1;
        }
        n
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry after `key` (nil: the first). Err: the key is not in the table.
    #[allow(clippy::result_unit_err)]
    pub fn next(&self, key: Value<'gc>) -> Result<Option<(Value<'gc>, Value<'gc>)>, ()> {
        Ok(self.next_from(self.position(key)?).map(|(_, k, v)| (k, v)))
    }
    /// Where the search for the entry after `key` begins: an index over array part and hash part.
    pub(crate) fn position(&self, key: Value<'gc>) -> Result<usize, ()> {
        if key.is_nil() {
            return Ok(0);
        }
        if let Some(i) = key.as_num().and_then(array_index) {
            if i < self.arr.len() {
                return Ok(i + 1);
            }
        }
        match self.find(key) {
            Some(at) => Ok(self.arr.len() + at + 1),
            // An integer that was in the array part, which has shrunk during the traversal: go on with the hash part.
            None if key.as_num().and_then(array_index).is_some_and(|i| i < self.arr.capacity()) => Ok(self.arr.len()),
            None => Err(()),
        }
    }
    /// How many positions there are for entries.
    pub(crate) fn room(&self) -> usize {
        self.arr.len() + self.nodes.len()
    }
    /// The first entry at or after a position, and the position after it.
    #[inline]
    pub(crate) fn next_from(&self, mut at: usize) -> Option<(usize, Value<'gc>, Value<'gc>)> {
        while let Some(v) = self.arr.get(at) {
            at += 1;
            if !v.is_nil() {
                return Some((at, Value::num_raw(at as f64), *v));
            }
        }
        while let Some(node) = self.nodes.get(at - self.arr.len()) {
            at += 1;
            if !node.val.is_nil() {
                return Some((at, node.key, node.val));
            }
        }
        None
    }

    /// Bytes that the next new entry may allocate.
    #[inline]
    pub fn next_growth(&self) -> usize {
        let array = if self.arr.len() == self.arr.capacity() { self.arr.len() * 2 * size_of::<Value<'_>>() } else { 0 };
        let full = (self.used as usize + 1) * 8 > self.nodes.len() * 7;
        let hash = if full { self.nodes.len() * 2 * size_of::<Node<'_>>() } else { 0 };
        array + hash
    }
    /// Bytes on the heap besides the object itself.
    pub fn heap_bytes(&self) -> usize {
        self.arr.capacity() * size_of::<Value<'_>>() + self.nodes.capacity() * size_of::<Node<'_>>()
    }
    /// `table.clear`: no entries, the room stays.
    pub fn clear(&mut self) {
        self.arr.clear();
        self.nodes.fill(Node::EMPTY);
        self.used = 0;
        self.absent.set(0);
    }
    /// `table.nkeys`.
    pub fn count(&self) -> usize {
        self.arr.iter().filter(|v| !v.is_nil()).count() + self.nodes.iter().filter(|n| !n.val.is_nil()).count()
    }
    /// Assigns `t[n]` for a number that is not NaN; the barrier has been taken by `borrow_mut`.
    pub fn put(&mut self, n: f64, v: Value<'gc>) {
        self.set_num(n, v);
    }
    /// The array part, for natives that walk lists (sort, concat, insert). It may hold nils.
    pub fn array(&self) -> &[Value<'gc>] {
        &self.arr
    }
    /// See `array`; the barrier has been taken by `borrow_mut`. Items may be moved, added and removed as long as the hash part
    /// holds none of the integers that follow.
    pub fn array_mut(&mut self) -> &mut Vec<Value<'gc>> {
        &mut self.arr
    }
}

impl<'gc> TableObj<'gc> {
    /// Where a traversal goes on that last gave `control`, if the position it remembers still holds that key; else by search.
    /// None: the key is not in the table.
    #[inline]
    pub(crate) fn resume_at(&self, control: Value<'gc>, hint: Value<'gc>) -> Option<usize> {
        let at = hint.as_mark();
        let holds = if at == 0 {
            control.is_nil()
        } else if at <= self.arr.len() {
            control.as_num() == Some(at as f64)
        } else {
            self.nodes.get(at - 1 - self.arr.len()).is_some_and(|n| n.key.identical(control))
        };
        if holds { Some(at) } else { self.position(control).ok() }
    }
}
