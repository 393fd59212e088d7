//! Where in a subject an attempt can begin, so that most places are never tried.

use memchr::memmem::Finder;

use super::super::analysis::Index;
use super::super::ast::{Assert, Node};
use super::super::charset::Bytes;
use super::super::program::{INFINITE, Inst, Start};
use super::super::words;

/// `(*ACCEPT)` ends a match before what the pattern still requires.
pub(super) fn has_escape_hatch(node: &Node) -> bool {
    Index::any(node, &|node| matches!(node, Node::Accept))
}

pub(super) fn of(index: &Index, node: &Node) -> Start {
    if has_escape_hatch(node) {
        return Start::Anywhere;
    }
    if index.anchored(node, false) {
        return Start::Anchored;
    }
    if index.anchored(node, true) {
        return Start::Lines;
    }
    let looks_back = Index::any(node, &|node| {
        matches!(node, Node::Backref { .. } | Node::Call(_) | Node::Cond { .. } | Node::Verb(_))
    });
    if !looks_back && index.starts_with_anything(node, true) {
        return Start::First;
    }
    if !looks_back && index.starts_with_anything(node, false) {
        return Start::FirstAndLines;
    }
    let prefix = index.prefix(node);
    if prefix.len() > 1 {
        return Start::Literal(Box::new(Finder::new(&prefix).into_owned()));
    }
    let first = index.first(node, false);
    if Index::any(node, &|node| matches!(node, Node::Verb(_))) {
        // Attempts that fail early may still come to a verb; as in PCRE, only a first byte spares them.
        let bytes: Vec<u8> = first.bytes.iter().take(3).collect();
        return match bytes[..] {
            [byte] if !first.nullable => Start::Few([byte; 3]),
            [upper, lower] if !first.nullable && upper.is_ascii_uppercase() && lower == upper | 0x20 => {
                Start::Few([upper, lower, lower])
            }
            _ => Start::Anywhere,
        };
    }
    if first.nullable || first.bytes == Bytes::ALL {
        match index.seen_ahead(node) {
            Some(bytes) if bytes != Bytes::ALL => Start::Bytes(Box::new(bytes.table())),
            _ => Start::Anywhere,
        }
    } else if let [few @ .., last] = first.bytes.iter().take(4).collect::<Vec<_>>().as_slice()
        && few.len() < 3
    {
        Start::Few([few.first().copied().unwrap_or(*last), few.get(1).copied().unwrap_or(*last), *last])
    } else if let Some((offset, byte)) = words::landmark(index, node) {
        Start::Before { offset, byte }
    } else {
        let table = Box::new(first.bytes.table());
        match words::finder(index, node) {
            Some(finder) => Start::Words { finder, table },
            None => Start::Bytes(table),
        }
    }
}

/// See `Program::first_run`. What comes before the repetition must be without width or choice.
pub(super) fn first_run(node: &Node, code: &[Inst]) -> Option<u32> {
    let looks_back = Index::any(node, &|node| {
        let depends = matches!(node, Node::Backref { .. } | Node::Call(_) | Node::Cond { .. } | Node::Verb(_));
        depends || matches!(node, Node::Accept | Node::Assert(Assert::From))
    });
    if looks_back {
        return None;
    }
    let at = code.iter().position(|inst| !matches!(inst, Inst::Save { .. } | Inst::Assert(_) | Inst::Keep))?;
    let unbounded = match code[at] {
        Inst::Greedy { max, .. } | Inst::Possessive { max, .. } | Inst::Captured { max, .. } => max == INFINITE,
        _ => false,
    };
    // (no jump may lead here again)
    let top = code.iter().any(|inst| {
        let to = match inst {
            Inst::Branch { other: to }
            | Inst::BranchIf { other: to, .. }
            | Inst::Enter { other: to, .. }
            | Inst::BranchTo { first: to }
            | Inst::Jump { to }
            | Inst::RoundEnd { exit: to, .. } => *to,
            _ => return false,
        };
        to as usize <= at
    });
    (unbounded && !top).then_some(at as u32)
}
