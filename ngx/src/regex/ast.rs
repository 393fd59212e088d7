//! A pattern as a tree. Options such as `(?i)` are already resolved into the nodes they affect.

use super::charset::CharSet;

#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Empty,
    /// A character, in any case if the flag is set.
    Char(u32, bool),
    Set(CharSet),
    /// Any character: all, or all but `\n`.
    Any {
        newline: bool,
    },
    /// `\C`: one byte.
    Byte,
    /// `\R`.
    Newline,
    /// `\X`.
    Grapheme,
    Assert(Assert),
    /// `\K`.
    Keep,
    Backref {
        to: Ref,
        caseless: bool,
    },
    Capture(u32, Box<Node>),
    Atomic(Box<Node>),
    Look {
        behind: bool,
        negative: bool,
        node: Box<Node>,
        /// Where in the pattern each alternative ends, for errors.
        ends: Vec<usize>,
    },
    Repeat {
        node: Box<Node>,
        min: u32,
        max: Option<u32>,
        kind: Kind,
    },
    Concat(Vec<Node>),
    Alt(Vec<Node>),
    Call(Ref),
    Cond {
        test: Test,
        yes: Box<Node>,
        no: Box<Node>,
    },
    /// `(*ACCEPT)`.
    Accept,
    /// `(*FAIL)`.
    Fail,
    Verb(Verb),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assert {
    /// `\A`, and `^` outside multi-line mode.
    Start,
    /// `^` in multi-line mode.
    LineStart,
    /// `\z`, and `$` with DOLLAR_ENDONLY.
    End,
    /// `\Z`, and `$` outside multi-line mode.
    EndOrNewline,
    /// `$` in multi-line mode.
    LineEnd,
    /// `\G`.
    From,
    WordBoundary,
    NotWordBoundary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Greedy,
    Lazy,
    Possessive,
}

/// What happens when the match backtracks past a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The match fails for good.
    Commit,
    /// The attempt from this starting point fails.
    Prune,
    /// As `Prune`, and the next attempt starts where the verb stood.
    Skip,
}

/// A group by number or name; names are looked up when the whole pattern is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref {
    pub name: Name,
    /// Where in the pattern it stands, for errors.
    pub offset: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    Number(u32),
    Name(Vec<u8>),
}

/// The condition of a conditional group.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Has the group matched?
    Group(Ref),
    /// Are we inside a recursion, of this group if given?
    Recursion(Option<Ref>),
    /// `(?(DEFINE)`: never.
    Never,
    Look(Box<Node>),
}

/// The alternatives of a lookbehind, which may differ in length.
pub fn branches(node: &Node) -> &[Node] {
    match node {
        Node::Alt(branches) => branches,
        _ => std::slice::from_ref(node),
    }
}

impl Node {
    /// Whether it matches exactly one character, whatever it is: such nodes repeat without a group.
    pub fn is_single(&self) -> bool {
        matches!(self, Node::Char(..) | Node::Set(_) | Node::Any { .. } | Node::Byte)
    }
}
