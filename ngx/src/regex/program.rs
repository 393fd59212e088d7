//! What a pattern compiles to: instructions for the backtracking machine.
//!
//! Addresses are indices into `Program::code`. Slots hold subject positions (`UNSET` for none): two for each group
//! including group 0, then the compiler's registers. What must stay true: every jump goes to an existing instruction,
//! every slot, set and literal index exists, and `AtomicBegin`/`AtomicEnd` and their kin are properly nested.

use memchr::memmem::Finder;
use regex_automata::util::prefilter::Prefilter;

use super::ast::{Assert, Verb};
use super::charset::Frozen;

#[derive(Debug)]
pub struct Program {
    pub code: Vec<Inst>,
    pub literals: Vec<u8>,
    pub sets: Vec<Frozen>,
    /// Addresses by byte.
    pub tables: Vec<[u32; 256]>,
    /// All slots, registers included.
    pub slots: usize,
    pub utf: bool,
    pub start: Start,
    /// A byte that every match contains.
    pub required: Option<u8>,
    /// The address of an unbounded repetition of single characters that every attempt begins with, if nothing but its
    /// end matters for the rest (else `NO_RUN`): when an attempt fails, those that start inside the run would fail too.
    pub first_run: u32,
    /// Whether an attempt can take long: then the required byte is looked for before the first one.
    pub branching: bool,
}

/// Where a match can start.
#[derive(Debug)]
pub enum Start {
    Anywhere,
    /// Only at 0.
    Anchored,
    /// Only at 0 or behind a newline.
    Lines,
    /// Only where the search starts: what begins with `.*` that crosses lines fails everywhere if it fails there.
    First,
    /// Only where the search starts or behind a newline: the same for a `.*` that does not cross lines.
    FirstAndLines,
    /// Only where this literal stands.
    Literal(Box<Finder<'static>>),
    /// Only before one of these bytes.
    Bytes(Box<[bool; 256]>),
    /// The same for up to three bytes (some twice if fewer), which can be searched for at once.
    Few([u8; 3]),
    /// Only so many bytes before this byte.
    Before {
        offset: usize,
        byte: u8,
    },
    /// Only before one of some words; the bytes they start with are for subjects too short to be worth a wide search.
    Words {
        finder: Prefilter,
        table: Box<[bool; 256]>,
    },
}

/// An instruction that matches exactly one character.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Single {
    Byte(u8),
    /// An ASCII letter in either case; the lower one is kept.
    Letter(u8),
    /// Any byte but `\n`.
    NotNewline,
    AnyByte,
    /// A set of bytes.
    Set(u32),
    /// Any byte but these (some twice if fewer).
    Not([u8; 3]),
    /// Any code point but `\n`.
    WideNotNewline,
    WideAny,
    /// A set of code points.
    WideSet(u32),
}

impl Single {
    /// Whether it matches characters of UTF-8 rather than bytes.
    pub fn is_wide(self) -> bool {
        matches!(self, Single::WideAny | Single::WideNotNewline | Single::WideSet(_))
    }
}

/// What must follow a repetition for it to be worth stopping there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    Unknown,
    /// An ASCII byte (any byte in byte mode).
    Byte(u8),
    /// A set of bytes, or the subject's end.
    Set {
        set: u32,
        end: bool,
    },
}

#[derive(Clone, Debug)]
pub enum Inst {
    Match,
    Fail,
    One(Single),
    /// `literals[at..at + len]`.
    Literal {
        at: u32,
        len: u32,
    },
    /// The same, with ASCII letters (kept in lower case) in either case.
    LiteralCaseless {
        at: u32,
        len: u32,
    },
    /// `min` to `max` characters, as many as possible first; gives back one at a time.
    Greedy {
        what: Single,
        min: u32,
        max: u32,
        next: Next,
    },
    Lazy {
        what: Single,
        min: u32,
        max: u32,
        next: Next,
    },
    /// As many as possible, for good.
    Possessive {
        what: Single,
        min: u32,
        max: u32,
    },
    /// As many as possible, for good, as all that a group matches.
    Captured {
        group: u32,
        what: Single,
        min: u32,
        max: u32,
    },
    /// Looks at one character, ahead or behind.
    Peek {
        what: Single,
        behind: bool,
        negative: bool,
    },
    /// Go on; on failure, go to `other`.
    Branch {
        other: u32,
    },
    /// As `Branch`, but only if the next byte is one of the set; otherwise go to `other` at once.
    BranchIf {
        set: u32,
        other: u32,
    },
    /// Go on if the next byte is one of the set, else go to `other`: there is never a reason to try the other way later.
    Enter {
        set: u32,
        other: u32,
    },
    /// Go where the table says for the next byte; fail at the end.
    Switch {
        table: u32,
    },
    /// Go to `first`; on failure, go on.
    BranchTo {
        first: u32,
    },
    Jump {
        to: u32,
    },
    /// slot := position.
    Save {
        slot: u32,
    },
    /// Ends group `group`, whose start is in register `from`.
    Close {
        group: u32,
        from: u32,
    },
    /// The start of a loop's round: register := position.
    RoundBegin {
        register: u32,
    },
    /// The end of a round: leaves the loop if the round matched nothing.
    RoundEnd {
        register: u32,
        exit: u32,
    },
    Assert(Assert),
    Keep,
    /// What one of the groups (from `literals`-like list `refs`) matched.
    Backref {
        groups: Box<[u32]>,
        caseless: bool,
        /// An unset group matches the empty string (JavaScript).
        unset_matches: bool,
    },
    Newline,
    Grapheme {
        marks: u32,
    },
    AtomicBegin,
    AtomicEnd,
    LookBegin,
    LookEnd,
    /// On failure inside: go to `past`.
    NegativeBegin {
        past: u32,
    },
    NegativeEnd,
    /// Step back that many characters.
    Back {
        count: u32,
    },
    /// Call the copy of a group (0: the whole pattern) at `to`.
    Call {
        to: u32,
        group: u32,
    },
    Return,
    /// Go on if one of the groups has matched, else go to `otherwise`.
    IfGroup {
        groups: Box<[u32]>,
        otherwise: u32,
    },
    /// Go on inside a recursion (of one of these groups, if given).
    IfRecursion {
        groups: Option<Box<[u32]>>,
        otherwise: u32,
    },
    ClearRegister {
        register: u32,
    },
    /// Go on if the register is set, else go to `otherwise`.
    IfRegister {
        register: u32,
        otherwise: u32,
    },
    Verb(Verb),
}

/// No instruction's address.
pub const NO_RUN: u32 = u32::MAX;
pub const UNSET: usize = usize::MAX;
/// No upper limit.
pub const INFINITE: u32 = u32::MAX;
