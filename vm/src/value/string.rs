//! Strings: bytes, immutable. They stand in the object itself up to `MOST`, in objects of a few sizes; longer ones have a block of
//! their own. The hash is seeded, and computed on first use.
use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};
use std::slice;
use std::sync::OnceLock;

use gc_arena::{Collect, Gc, Mutation};

/// A string object, of whatever size.
#[derive(Clone, Copy, Collect)]
#[collect(no_drop)]
pub struct Str<'gc>(Gc<'gc, Head>);

/// What every string object begins with. Its fields are private, as is `Str`'s, so that only this file makes one.
#[derive(Collect)]
#[collect(require_static)]
#[repr(C)]
pub struct Head {
    /// 0: not computed yet.
    hash: Cell<u32>,
    /// `LONG` for a string with a block of its own.
    len: u32,
}

#[derive(Collect)]
#[collect(require_static)]
#[repr(C)]
struct Short<const ROOM: usize> {
    head: Head,
    bytes: [u8; ROOM],
}

#[derive(Collect)]
#[collect(require_static)]
#[repr(C)]
struct Long {
    head: Head,
    bytes: Box<[u8]>,
}

const LONG: u32 = u32::MAX;
/// The longest string that stands in its object.
const MOST: usize = 120;

// (16 more for the collector; blocks come in multiples of 16)
const _: () = assert!(size_of::<Short<8>>() == 16 && size_of::<Short<24>>() == 32 && size_of::<Short<MOST>>() == 128);

impl<'gc> Str<'gc> {
    #[inline]
    pub fn new(mc: &Mutation<'gc>, bytes: &[u8]) -> Str<'gc> {
        match bytes.len() {
            0..=8 => Str::short::<8>(mc, bytes),
            9..=24 => Str::short::<24>(mc, bytes),
            25..=40 => Str::short::<40>(mc, bytes),
            41..=56 => Str::short::<56>(mc, bytes),
            57..=88 => Str::short::<88>(mc, bytes),
            89..=MOST => Str::short::<MOST>(mc, bytes),
            _ => Str::long(mc, bytes.into()),
        }
    }
    /// Takes the vector over where it is long: no copy.
    pub fn from_vec(mc: &Mutation<'gc>, bytes: Vec<u8>) -> Str<'gc> {
        if bytes.len() <= MOST { Str::new(mc, &bytes) } else { Str::long(mc, bytes.into_boxed_slice()) }
    }
    #[inline]
    fn short<const ROOM: usize>(mc: &Mutation<'gc>, bytes: &[u8]) -> Str<'gc> {
        let head = Head { hash: Cell::new(0), len: bytes.len() as u32 };
        let mut short = Short { head, bytes: [0; ROOM] };
        short.bytes[..bytes.len()].copy_from_slice(bytes);
        // SAFETY: a `Short` begins with its `Head`, and nothing else is seen through the pointer but by `bytes`.
        Str(unsafe { Gc::cast(Gc::new(mc, short)) })
    }
    fn long(mc: &Mutation<'gc>, bytes: Box<[u8]>) -> Str<'gc> {
        let long = Long { head: Head { hash: Cell::new(0), len: LONG }, bytes };
        // SAFETY: a `Long` begins with its `Head`, and nothing else is seen through the pointer but by `bytes`.
        Str(unsafe { Gc::cast(Gc::new(mc, long)) })
    }
    /// What was given to `from_object`, or can be.
    #[inline(always)]
    pub(super) fn object(self) -> Gc<'gc, Head> {
        self.0
    }
    #[inline(always)]
    pub(super) fn from_object(object: Gc<'gc, Head>) -> Str<'gc> {
        Str(object)
    }

    #[inline(always)]
    pub fn bytes(self) -> &'gc [u8] {
        let at = Gc::as_ptr(self.0);
        if self.is_long() {
            // SAFETY: only `long` makes such a length, in a `Long`, which `'gc` keeps alive; the pointer is the whole object's.
            unsafe { &(*at.cast::<Long>()).bytes }
        } else {
            // SAFETY: `short` made the object: that many bytes follow the head, and never change while `'gc` keeps them alive.
            unsafe { slice::from_raw_parts(at.add(1).cast(), self.0.len as usize) }
        }
    }
    #[inline(always)]
    pub fn len(self) -> usize {
        if self.is_long() { self.bytes().len() } else { self.0.len as usize }
    }
    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.0.len == 0
    }
    #[inline(always)]
    pub fn hash(self) -> u32 {
        match self.0.hash.get() {
            0 => self.compute(),
            h => h,
        }
    }
    #[inline(never)]
    fn compute(self) -> u32 {
        let h = hash(self.bytes());
        self.0.hash.set(h);
        h
    }
    /// The same bytes.
    #[inline]
    pub fn same(self, other: Str<'gc>) -> bool {
        let (a, b) = (self.0.hash.get(), other.0.hash.get());
        (a == b || a == 0 || b == 0) && self.bytes() == other.bytes()
    }
    /// It has a block of its own.
    #[inline(always)]
    pub(crate) fn is_long(self) -> bool {
        self.0.len == LONG
    }
    /// See `Value::weight`.
    #[inline(always)]
    pub(crate) fn weight(self) -> usize {
        if self.is_long() { self.bytes().len() / 64 } else { 0 }
    }
    /// The same object.
    #[inline(always)]
    pub fn is(self, other: Str<'gc>) -> bool {
        Gc::ptr_eq(self.0, other.0)
    }
}

impl AsRef<[u8]> for Str<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/// What `Str::hash` gives for a string of these bytes: never 0.
pub(super) fn hash(bytes: &[u8]) -> u32 {
    let mut hasher = seed().build_hasher();
    hasher.write(bytes);
    (hasher.finish() as u32).max(1)
}

/// One seed a process: strangers cannot choose keys that collide.
fn seed() -> &'static ahash::RandomState {
    static SEED: OnceLock<ahash::RandomState> = OnceLock::new();
    SEED.get_or_init(ahash::RandomState::new)
}

#[cfg(test)]
mod tests {
    use super::{MOST, Str};

    #[test]
    fn bytes_come_back_whatever_their_size() {
        crate::Vm::new().enter(|cx| {
            let mut text = Vec::new();
            for len in 0..3 * MOST {
                let (copied, taken) = (Str::new(cx.mc, &text), Str::from_vec(cx.mc, text.clone()));
                assert_eq!((copied.bytes(), copied.len(), copied.is_empty()), (&text[..], len, len == 0));
                assert!(copied.same(taken) && !copied.is(taken) && copied.hash() == taken.hash() && taken.same(copied));
                text.push(len as u8);
                assert!(!copied.same(Str::new(cx.mc, &text)));
            }
        });
    }
}
