//! What the compiler makes: a function's code, constants and debug information. Plain data without GC pointers; loading it into a
//! machine uses it up.
use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;

use super::lines::Lines;
use super::op::Op;
use crate::lex::names::{Names, Symbol};

/// A compiled source: its main function, and the strings that the constants name.
#[derive(Debug)]
pub struct Chunk {
    pub main: Proto,
    pub names: Names,
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
const _: () = assert!(size_of::<Const>() == 16 && size_of::<Local>() == 24);
const _: () = assert!(size_of::<Proto>() == 64 && size_of::<Info>() <= 96);

/// A variable's name: one word, shared by all who show it.
// (a fat pointer would make a third of what a local variable takes)
#[allow(clippy::redundant_allocation)]
pub type VarName = Rc<Box<[u8]>>;

/// Where a closure, when it is made, finds one of its captured values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// `R[n]` of the function that makes the closure: the value itself, or the cell that the register holds.
    Reg(u8),
    /// `U[n]` of the function that makes the closure, value or cell alike.
    Up(u8),
    /// The new closure itself: `local function f() ... f() ... end` with an `f` that is never assigned again.
    Itself,
}

/// One captured variable as the function sees it.
#[derive(Clone, Debug)]
pub struct Capture {
    pub cap: Cap,
    /// `U[n]` holds a cell (the variable is assigned after its declaration), not the value.
    pub cell: bool,
    pub name: VarName,
}

/// A local variable's life: its register holds it for `start <= pc < end`.
#[derive(Clone, Debug)]
pub struct Local {
    pub name: VarName,
    pub reg: u8,
    /// The register holds a cell with the value in it.
    pub cell: bool,
    pub start: u32,
    pub end: u32,
}

#[derive(Debug)]
pub struct Proto {
    /// A `Cell` each, since the interpreter patches its inline caches into the instructions.
    pub code: Box<[Cell<Op>]>,
    pub consts: Box<[Const]>,
    pub protos: Box<[Proto]>,
    /// Registers needed, at most 250.
    pub max_stack: u8,
    pub info: Box<Info>,
}

/// What is known of a function besides what runs.
#[derive(Debug)]
pub struct Info {
    /// The source line of each instruction.
    pub lines: Lines,
    pub captures: Box<[Capture]>,
    pub locals: Box<[Local]>,
    pub params: u8,
    pub vararg: bool,
    /// The chunk name as given to `load`: `@file`, `=name` or the source itself.
    pub source: Rc<[u8]>,
    /// Lines of `function` and of its `end`; 0 and the last line for a main chunk.
    pub line_defined: u32,
    pub last_line: u32,
}

impl Deref for Proto {
    type Target = Info;

    fn deref(&self) -> &Info {
        &self.info
    }
}
