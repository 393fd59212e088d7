//! Strings: bytes, immutable. Up to 22 bytes live in the object itself; the hash is seeded, and computed on first use.
use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use gc_arena::{Collect, Gc};

pub type Str<'gc> = Gc<'gc, StrObj>;

#[derive(Collect)]
#[collect(require_static)]
pub struct StrObj {
    /// 0: not computed yet.
    hash: Cell<u32>,
    buf: Buf,
}

enum Buf {
    Inline(u8, [u8; INLINE]),
    Heap(Box<[u8]>),
}

const INLINE: usize = 22;

impl StrObj {
    #[inline]
    pub fn new(bytes: &[u8]) -> StrObj {
        let buf = if bytes.len() <= INLINE {
            let mut inline = [0; INLINE];
            inline[..bytes.len()].copy_from_slice(bytes);
            Buf::Inline(bytes.len() as u8, inline)
        } else {
            Buf::Heap(bytes.into())
        };
        StrObj { hash: Cell::new(0), buf }
    }
    /// Takes the vector over where it is long: no copy.
    pub fn from_vec(bytes: Vec<u8>) -> StrObj {
        if bytes.len() <= INLINE {
            return StrObj::new(&bytes);
        }
        StrObj { hash: Cell::new(0), buf: Buf::Heap(bytes.into_boxed_slice()) }
    }
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        match &self.buf {
            Buf::Inline(n, inline) => inline.get(..*n as usize).unwrap_or(&[]),
            Buf::Heap(bytes) => bytes,
        }
    }
    #[inline(always)]
    pub fn len(&self) -> usize {
        match &self.buf {
            Buf::Inline(n, _) => *n as usize,
            Buf::Heap(bytes) => bytes.len(),
        }
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    #[inline(always)]
    pub fn hash(&self) -> u32 {
        match self.hash.get() {
            0 => self.compute(),
            h => h,
        }
    }
    #[inline(never)]
    fn compute(&self) -> u32 {
        let mut hasher = seed().build_hasher();
        hasher.write(self.bytes());
        let h = (hasher.finish() as u32).max(1);
        self.hash.set(h);
        h
    }
    /// The same bytes.
    #[inline]
    pub fn same(&self, other: &StrObj) -> bool {
        let (a, b) = (self.hash.get(), other.hash.get());
        (a == b || a == 0 || b == 0) && self.bytes() == other.bytes()
    }
    /// Bytes on the heap besides the object itself.
    pub fn heap_bytes(&self) -> usize {
        match &self.buf {
            Buf::Inline(..) => 0,
            Buf::Heap(bytes) => bytes.len(),
        }
    }
}

impl AsRef<[u8]> for StrObj {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/// One seed a process: strangers cannot choose keys that collide.
fn seed() -> &'static ahash::RandomState {
    static SEED: OnceLock<ahash::RandomState> = OnceLock::new();
    SEED.get_or_init(ahash::RandomState::new)
}
