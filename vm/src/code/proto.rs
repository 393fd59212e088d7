//! What the compiler makes: a function's code and constants, and a chunk's debug information. Plain data without GC pointers; loading it
//! into a machine uses it up.
use std::cell::Cell;

use super::info::{DebugInfo, Info};
use super::op::Op;
use crate::lex::names::{Names, Symbol};
use crate::value::function::ProtoObj;

/// A compiled source: its main function, the strings that the constants name, and what is known besides.
#[derive(Debug)]
pub struct Chunk {
    pub(crate) main: Proto,
    pub(crate) names: Names,
    pub(crate) debug: DebugInfo,
}

/// A constant of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Const {
    Nil,
    Bool(bool),
    /// The bits of a double.
    Num(u64),
    /// One of the chunk's names.
    Str(Symbol),
    /// A boxed 64-bit integer: `1LL`, `1ULL` (unsigned).
    Int64 {
        bits: u64,
        unsigned: bool,
    },
}

// What a source can make most of.
const _: () = assert!(size_of::<Const>() == 16);
// A function's block becomes that of another one when it is loaded, which has the collector's header. (Only memory hangs on it: the
// allocator finds the one it has just got back.)
const _: () = assert!(size_of::<Proto>() == size_of::<ProtoObj<'_>>() + 16);

/// Its instructions are trusted: nothing outside of this crate makes or changes one.
#[derive(Debug, Default)]
pub struct Proto {
    /// A `Cell` each, since the interpreter patches its inline caches into the instructions.
    pub(crate) code: Box<[Cell<Op>]>,
    pub(crate) consts: Box<[Const]>,
    #[allow(clippy::vec_box)]
    pub(crate) protos: Vec<Box<Proto>>,
    /// Where the chunk's debug information has this function's.
    pub(crate) info_at: u32,
    pub(crate) params: u8,
    pub(crate) vararg: bool,
    /// Registers needed, at most 250.
    pub(crate) max_stack: u8,
    /// So many captured values: as many `Capture`s follow the instruction that makes the closure.
    pub(crate) captures: u8,
    /// For the header of what its block becomes.
    pub(crate) _room: [u64; 2],
}

impl Proto {
    /// `debug`: its chunk's.
    pub fn info<'d>(&self, debug: &'d DebugInfo) -> Info<'d> {
        debug.function(self.info_at, self.code.len())
    }

    /// The functions inside, each with what it captures.
    pub fn inner(&self) -> impl Iterator<Item = (&Proto, &[Cell<Op>])> {
        self.code.iter().enumerate().filter_map(|(at, op)| {
            let inner = self.protos.get(usize::from(op.get().makes()?))?;
            Some((&**inner, self.code.get(at + 1..)?.get(..usize::from(inner.captures))?))
        })
    }
}
