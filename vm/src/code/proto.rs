//! What the compiler makes and the interpreter runs: a function's code, constants and debug information.
//! Plain data without GC pointers, so it can be shared by several machines of one thread.
use std::cell::Cell;
use std::rc::Rc;

use super::op::Op;

/// A constant of a function.
#[derive(Clone, Debug, PartialEq)]
pub enum Const {
    Nil,
    Bool(bool),
    Num(f64),
    Str(Rc<[u8]>),
    /// A boxed 64-bit integer: `1LL`, `1ULL` (unsigned).
    Int64 {
        bits: u64,
        unsigned: bool,
    },
}

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
    pub name: Rc<[u8]>,
}

/// A local variable's life: its register holds it for `start <= pc < end`.
#[derive(Clone, Debug)]
pub struct Local {
    pub name: Rc<[u8]>,
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
    /// The source line of each instruction.
    pub lines: Box<[u32]>,
    pub consts: Box<[Const]>,
    pub protos: Box<[Rc<Proto>]>,
    pub captures: Box<[Capture]>,
    pub locals: Box<[Local]>,
    pub params: u8,
    pub vararg: bool,
    /// Registers needed, at most 250.
    pub max_stack: u8,
    /// The chunk name as given to `load`: `@file`, `=name` or the source itself.
    pub source: Rc<[u8]>,
    /// Lines of `function` and of its `end`; 0 and the last line for a main chunk.
    pub line_defined: u32,
    pub last_line: u32,
}
