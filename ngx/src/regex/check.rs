//! What a well-formed pattern can still be refused for: references to groups that are not there, lookbehind without a
//! fixed length. In the order that PCRE finds them in: as they stand in the pattern, but what needs the whole pattern
//! to be known comes last, with the pattern's end as its place.

use super::CompileError;
use super::analysis::Index;
use super::ast::{Name, Node, Test, branches};
use super::parse::Parsed;

/// Why a node has no fixed length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unfixed {
    Variable,
    /// `\C` in UTF mode.
    Byte,
    /// It calls a group, which may come later.
    Call,
}

impl Unfixed {
    fn error(self, offset: usize) -> CompileError {
        let message = match self {
            Unfixed::Byte => "\\C not allowed in lookbehind assertion",
            _ => "lookbehind assertion is not fixed length",
        };
        CompileError { message, offset }
    }
}

/// Checks a whole pattern.
pub fn check(index: &Index, parsed: &Parsed) -> Result<(), CompileError> {
    let mut checker = Checker { index, missing: None, later: Vec::new() };
    let in_place =
        [checker.node(&parsed.node).err(), index.check_recursion(&parsed.node, &mut vec![0]).err(), parsed.too_many];
    if let Some(error) = in_place.into_iter().flatten().min_by_key(|error| error.offset) {
        return Err(error);
    }
    if parsed.end < parsed.length {
        return Err(CompileError { message: "unmatched parentheses", offset: parsed.end });
    }
    if let Some(error) = checker.missing {
        return Err(error);
    }
    let lengths = checker.later.iter().try_for_each(|branch| index.length(branch, true).map(|_| ()));
    lengths.map_err(|why| why.error(parsed.length))
}

struct Checker<'i, 't> {
    index: &'i Index<'t>,
    /// The first reference by number to a group that is not there.
    missing: Option<CompileError>,
    /// Branches of lookbehind to look at again.
    later: Vec<&'i Node>,
}

impl<'i> Checker<'i, '_> {
    fn node(&mut self, node: &'i Node) -> Result<(), CompileError> {
        match node {
            Node::Backref { to, .. } => match (self.index.resolve(to), &to.name) {
                (Err(error), Name::Name(_)) => Err(error),
                (Err(error), Name::Number(_)) => {
                    self.missing.get_or_insert(error);
                    Ok(())
                }
                _ => Ok(()),
            },
            Node::Call(to) => self.index.resolve(to).map(|_| ()),
            Node::Look { behind: true, node, ends, .. } => {
                for (branch, end) in branches(node).iter().zip(ends) {
                    self.node(branch)?;
                    match self.index.length(branch, false) {
                        Ok(_) => {}
                        Err(Unfixed::Call) => self.later.push(branch),
                        Err(why) => return Err(why.error(*end)),
                    }
                }
                Ok(())
            }
            Node::Capture(_, inner)
            | Node::Atomic(inner)
            | Node::Repeat { node: inner, .. }
            | Node::Look { node: inner, .. } => self.node(inner),
            Node::Concat(nodes) | Node::Alt(nodes) => nodes.iter().try_for_each(|node| self.node(node)),
            Node::Cond { test, yes, no } => {
                match test {
                    Test::Group(to) | Test::Recursion(Some(to)) => self.index.resolve(to).map(|_| ())?,
                    Test::Look(look) => self.node(look)?,
                    Test::Recursion(None) | Test::Never => {}
                }
                self.node(yes)?;
                self.node(no)
            }
            _ => Ok(()),
        }
    }
}
