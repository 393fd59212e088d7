//! Facts about trees that need no matching: what a node can start with, whether it can be empty, how long it is.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::CompileError;
use super::ast::{Assert, Name, Node, Ref, Test};
use super::charset::{self, Bytes};
use super::check::Unfixed;

/// The bytes a node's match can start with.
#[derive(Clone)]
pub struct First {
    pub bytes: Bytes,
    /// It can match without consuming anything.
    pub nullable: bool,
    /// Whether it can is also a matter of an assertion, or the like.
    pub conditional: bool,
    /// The subject's end can stand here too.
    pub end: bool,
}

impl First {
    pub fn nothing() -> First {
        First { bytes: Bytes::default(), nullable: true, conditional: false, end: false }
    }

    pub fn unknown() -> First {
        First { bytes: Bytes::ALL, nullable: true, conditional: true, end: true }
    }

    /// What starts this, or if this is empty, what starts `next`.
    pub fn then(mut self, next: &First) -> First {
        if self.nullable {
            self.bytes.union(&next.bytes);
            self.nullable = next.nullable;
            self.conditional |= next.conditional;
            self.end |= next.end;
        }
        self
    }

    pub fn or(mut self, other: &First) -> First {
        self.bytes.union(&other.bytes);
        self.nullable |= other.nullable;
        self.conditional |= other.conditional;
        self.end |= other.end;
        self
    }
}

/// A tree with its groups by number and name.
pub struct Index<'t> {
    groups: HashMap<u32, &'t Node>,
    names: &'t [(Vec<u8>, u32)],
    root: &'t Node,
    count: u32,
    /// The groups that can match the empty string.
    nullable: HashSet<u32>,
    /// Lengths of called groups; `None` also for those being measured.
    lengths: RefCell<HashMap<u32, Option<u32>>>,
    pub utf: bool,
}

impl<'t> Index<'t> {
    pub fn new(root: &'t Node, count: u32, names: &'t [(Vec<u8>, u32)], utf: bool) -> Index<'t> {
        let lengths = RefCell::new(HashMap::new());
        let mut index = Index { groups: HashMap::new(), names, root, count, nullable: HashSet::new(), lengths, utf };
        index.collect(root);
        // Calls make groups depend on each other: add groups until nothing changes.
        loop {
            let all = std::iter::once((0, root)).chain(index.groups.iter().map(|(&group, &node)| (group, node)));
            let more: Vec<u32> = all
                .filter(|(group, node)| !index.nullable.contains(group) && index.nullable(node))
                .map(|(group, _)| group)
                .collect();
            if more.is_empty() {
                return index;
            }
            index.nullable.extend(more);
        }
    }

    fn collect(&mut self, node: &'t Node) {
        match node {
            Node::Capture(number, inner) => {
                self.groups.entry(*number).or_insert(inner);
                self.collect(inner);
            }
            Node::Atomic(inner) | Node::Repeat { node: inner, .. } | Node::Look { node: inner, .. } => {
                self.collect(inner);
            }
            Node::Concat(nodes) | Node::Alt(nodes) => nodes.iter().for_each(|node| self.collect(node)),
            Node::Cond { test, yes, no } => {
                if let Test::Look(look) = test {
                    self.collect(look);
                }
                self.collect(yes);
                self.collect(no);
            }
            _ => {}
        }
    }

    /// The body of a group; 0 is the whole pattern.
    pub fn body(&self, group: u32) -> Option<&'t Node> {
        if group == 0 { Some(self.root) } else { self.groups.get(&group).copied() }
    }

    /// The groups a reference means: one, or for a name all that bear it.
    pub fn resolve(&self, to: &Ref) -> Result<Vec<u32>, CompileError> {
        let groups: Vec<u32> = match &to.name {
            Name::Number(number) if *number <= self.count => vec![*number],
            Name::Number(_) => Vec::new(),
            Name::Name(name) => self.names.iter().filter(|(known, _)| known == name).map(|(_, group)| *group).collect(),
        };
        if groups.is_empty() {
            return Err(CompileError { message: "reference to non-existent subpattern", offset: to.offset });
        }
        Ok(groups)
    }

    /// The one group that a call goes to.
    pub fn target(&self, to: &Ref) -> Result<u32, CompileError> {
        self.resolve(to).map(|groups| groups.first().copied().unwrap_or(0))
    }

    /// What the node can start with. With `ends` set, `$` and its kin count as something that stands here (the end,
    /// or a newline): right for asking what may follow, wrong for asking where a match may start.
    pub fn first(&self, node: &Node, ends: bool) -> First {
        let zero_width = First { conditional: true, ..First::nothing() };
        match node {
            Node::Empty | Node::Keep => First::nothing(),
            Node::Char(..) | Node::Set(_) | Node::Any { .. } | Node::Byte => {
                First { bytes: self.single_first(node), nullable: false, ..First::nothing() }
            }
            Node::Newline | Node::Grapheme => First { nullable: false, ..First::unknown() },
            Node::Assert(Assert::End) if ends => First { nullable: false, end: true, ..First::nothing() },
            Node::Assert(Assert::EndOrNewline | Assert::LineEnd) if ends => {
                let mut first = First { nullable: false, end: true, ..First::nothing() };
                first.bytes.insert(b'\n');
                first
            }
            // It has to be come to for it to act.
            Node::Verb(_) if ends => First::unknown(),
            Node::Assert(_) | Node::Look { .. } | Node::Verb(_) => zero_width,
            Node::Capture(_, inner) | Node::Atomic(inner) => self.first(inner, ends),
            Node::Repeat { node, min, .. } => {
                let mut first = self.first(node, ends);
                first.nullable |= *min == 0;
                first
            }
            Node::Concat(nodes) => {
                let mut first = First::nothing();
                for node in nodes {
                    if !first.nullable {
                        break;
                    }
                    first = first.then(&self.first(node, ends));
                }
                first
            }
            Node::Alt(nodes) => {
                let mut firsts = nodes.iter().map(|node| self.first(node, ends));
                let head = firsts.next().unwrap_or_else(First::nothing);
                firsts.fold(head, |all, one| all.or(&one))
            }
            Node::Fail => First { nullable: false, ..First::nothing() },
            Node::Cond { test: Test::Never, .. } => First::nothing(),
            Node::Backref { .. } | Node::Call(_) | Node::Cond { .. } | Node::Accept => First::unknown(),
        }
    }

    /// The bytes one of which a lookahead at the node's start asks for.
    pub fn seen_ahead(&self, node: &Node) -> Option<Bytes> {
        match node {
            Node::Look { behind: false, negative: false, node, .. } => {
                let first = self.first(node, false);
                (!first.nullable).then_some(first.bytes)
            }
            Node::Capture(_, inner) | Node::Atomic(inner) => self.seen_ahead(inner),
            Node::Concat(nodes) => {
                let zero_width = |node: &&Node| matches!(node, Node::Assert(_) | Node::Look { .. } | Node::Keep);
                let at = nodes.iter().take_while(zero_width).find_map(|node| self.seen_ahead(node));
                at.or_else(|| nodes.iter().find(|node| !zero_width(node)).and_then(|node| self.seen_ahead(node)))
            }
            _ => None,
        }
    }

    /// The bytes a single character can start with.
    pub fn single_first(&self, node: &Node) -> Bytes {
        let mut bytes = Bytes::default();
        let direct = if self.utf { 0x7f } else { 0xff };
        let mut add = |low: u32, high: u32| {
            (low..=high.min(direct)).for_each(|byte| bytes.insert(byte as u8));
            if high > direct {
                // Any lead byte, for simplicity; an unchecked subject may hold stray bytes too.
                (0x80..=0xff).for_each(|byte| bytes.insert(byte));
            }
        };
        match node {
            Node::Char(char, caseless) => {
                let mut set = charset::CharSet::from_ranges(&[(*char, *char)]);
                if *caseless {
                    set.fold_case(self.utf);
                }
                set.ranges().iter().for_each(|&(low, high)| add(low, high));
            }
            Node::Set(set) => set.ranges().iter().for_each(|&(low, high)| add(low, high)),
            Node::Any { newline } => {
                bytes = Bytes::ALL;
                if !newline {
                    bytes.remove(b'\n');
                }
            }
            _ => bytes = Bytes::ALL,
        }
        bytes
    }

    /// Whether the node can match the empty string.
    pub fn nullable(&self, node: &Node) -> bool {
        match node {
            Node::Char(..) | Node::Set(_) | Node::Any { .. } | Node::Byte | Node::Newline | Node::Grapheme => false,
            // For what never matches, either answer is right; PCRE says yes.
            Node::Fail | Node::Empty | Node::Keep | Node::Assert(_) | Node::Look { .. } | Node::Backref { .. } => true,
            Node::Accept | Node::Verb(_) => true,
            Node::Capture(_, inner) | Node::Atomic(inner) => self.nullable(inner),
            Node::Repeat { node, min, .. } => *min == 0 || self.nullable(node),
            Node::Concat(nodes) => nodes.iter().all(|node| self.nullable(node)),
            Node::Alt(nodes) => nodes.iter().any(|node| self.nullable(node)),
            Node::Cond { test: Test::Never, .. } => true,
            Node::Cond { yes, no, .. } => self.nullable(yes) || self.nullable(no),
            Node::Call(to) => self.target(to).is_ok_and(|group| self.nullable.contains(&group)),
        }
    }

    /// Refuses a group that can call itself before it has consumed anything. `open` are the groups entered since.
    pub fn check_recursion(&self, node: &Node, open: &mut Vec<u32>) -> Result<(), CompileError> {
        match node {
            Node::Capture(number, inner) => {
                let depth = open.len();
                open.push(*number);
                self.check_recursion(inner, open)?;
                // Cleared if the group must consume, else it is merely left.
                open.truncate(depth);
                if !self.nullable(inner) {
                    open.clear();
                }
                Ok(())
            }
            Node::Atomic(inner) => self.check_recursion(inner, open),
            // As in PCRE, calls inside assertions are only checked while matching.
            Node::Look { node, .. } => self.check_recursion(node, &mut Vec::new()),
            Node::Repeat { node, min, .. } => {
                let before = open.clone();
                self.check_recursion(node, open)?;
                if *min == 0 {
                    *open = before;
                }
                Ok(())
            }
            Node::Concat(nodes) => nodes.iter().try_for_each(|node| self.check_recursion(node, open)),
            Node::Alt(nodes) => self.check_branches(nodes.iter(), open),
            Node::Cond { test, yes, no } => {
                if let Test::Look(look) = test {
                    self.check_recursion(look, &mut Vec::new())?;
                }
                self.check_branches([&**yes, &**no].into_iter(), open)
            }
            Node::Call(to) => {
                // (`check` tells of groups that are not there)
                let Ok(group) = self.target(to) else { return Ok(()) };
                if open.contains(&group) {
                    let message = "recursive call could loop indefinitely";
                    return Err(CompileError { message, offset: to.offset });
                }
                if !self.nullable(node) {
                    open.clear();
                }
                Ok(())
            }
            _ => {
                if !self.nullable(node) {
                    open.clear();
                }
                Ok(())
            }
        }
    }

    fn check_branches<'n>(
        &self,
        branches: impl Iterator<Item = &'n Node>,
        open: &mut Vec<u32>,
    ) -> Result<(), CompileError> {
        let mut after = Vec::new();
        for branch in branches {
            let mut inside = open.clone();
            self.check_recursion(branch, &mut inside)?;
            after.extend(inside.into_iter().filter(|group| !after.contains(group)).collect::<Vec<_>>());
        }
        *open = after;
        Ok(())
    }

    /// The length in characters of whatever the node matches, if it is always the same.
    pub fn fixed_length(&self, node: &Node) -> Option<u32> {
        self.length(node, true).ok()
    }

    /// The same, or why there is none: the first reason from the left. Calls are followed if all groups are known.
    pub fn length(&self, node: &Node, all_known: bool) -> Result<u32, Unfixed> {
        let length = |node: &Node| self.length(node, all_known);
        match node {
            Node::Char(..) | Node::Set(_) | Node::Any { .. } => Ok(1),
            Node::Byte => {
                if self.utf {
                    Err(Unfixed::Byte)
                } else {
                    Ok(1)
                }
            }
            Node::Newline | Node::Grapheme | Node::Backref { .. } => Err(Unfixed::Variable),
            Node::Empty | Node::Keep | Node::Assert(_) | Node::Look { .. } => Ok(0),
            Node::Fail | Node::Verb(_) | Node::Accept => Ok(0),
            Node::Capture(_, inner) | Node::Atomic(inner) => length(inner),
            Node::Repeat { node, min, max, .. } => {
                // A group that is left out has none in PCRE's eyes, nor has a call that is repeated.
                let single = node.is_single() || matches!(**node, Node::Backref { .. });
                if *max == Some(0) {
                    return if single { Ok(0) } else { Err(Unfixed::Variable) };
                }
                if matches!(**node, Node::Call(_)) {
                    return Err(Unfixed::Variable);
                }
                let once = length(node)?;
                if *max != Some(*min) {
                    return Err(Unfixed::Variable);
                }
                once.checked_mul(*min).ok_or(Unfixed::Variable)
            }
            Node::Concat(nodes) => {
                // (what comes after an ACCEPT does not count)
                let mut nodes = nodes.iter().take_while(|node| !matches!(node, Node::Accept));
                nodes.try_fold(0u32, |sum, node| sum.checked_add(length(node)?).ok_or(Unfixed::Variable))
            }
            Node::Alt(nodes) => {
                let mut all = None;
                for node in nodes {
                    let one = length(node)?;
                    if *all.get_or_insert(one) != one {
                        return Err(Unfixed::Variable);
                    }
                }
                Ok(all.unwrap_or(0))
            }
            Node::Cond { test: Test::Never, .. } => Ok(0),
            Node::Cond { yes, no, .. } => {
                let yes = length(yes)?;
                if length(no)? == yes { Ok(yes) } else { Err(Unfixed::Variable) }
            }
            Node::Call(_) if !all_known => Err(Unfixed::Call),
            Node::Call(to) => {
                let group = self.target(to).map_err(|_| Unfixed::Variable)?;
                if let Some(length) = self.lengths.borrow().get(&group) {
                    return length.ok_or(Unfixed::Variable);
                }
                self.lengths.borrow_mut().insert(group, None);
                let length = self.body(group).and_then(|body| self.fixed_length(body));
                self.lengths.borrow_mut().insert(group, length);
                length.ok_or(Unfixed::Variable)
            }
        }
    }

    /// The literal that every match starts with.
    pub fn prefix(&self, node: &Node) -> Vec<u8> {
        let mut prefix = Vec::new();
        self.push_prefix(node, &mut prefix);
        prefix
    }

    /// Whether the node is literal to its end.
    fn push_prefix(&self, node: &Node, prefix: &mut Vec<u8>) -> bool {
        match node {
            Node::Empty | Node::Cond { test: Test::Never, .. } => true,
            Node::Char(char, caseless) => {
                if *caseless && self.has_case(*char) {
                    return false;
                }
                self.push_char(*char, prefix);
                true
            }
            Node::Capture(_, inner) | Node::Atomic(inner) => self.push_prefix(inner, prefix),
            Node::Concat(nodes) => nodes.iter().all(|node| self.push_prefix(node, prefix)),
            Node::Repeat { node, min, .. } if *min > 0 => {
                self.push_prefix(node, prefix);
                false
            }
            _ => false,
        }
    }

    pub fn push_char(&self, char: u32, out: &mut Vec<u8>) {
        if self.utf { charset::encode(char, out) } else { out.push(char as u8) }
    }

    pub fn has_case(&self, char: u32) -> bool {
        let mut set = charset::CharSet::from_ranges(&[(char, char)]);
        set.fold_case(self.utf);
        set.ranges() != [(char, char)]
    }

    /// A byte that every match contains: the last literal one that must be there.
    pub fn required(&self, node: &Node) -> Option<u8> {
        match node {
            Node::Char(char, caseless) if !(*caseless && self.has_case(*char)) => {
                let mut bytes = Vec::new();
                self.push_char(*char, &mut bytes);
                bytes.last().copied()
            }
            Node::Capture(_, inner) | Node::Atomic(inner) => self.required(inner),
            Node::Repeat { node, min, .. } if *min > 0 => self.required(node),
            Node::Concat(nodes) => nodes.iter().rev().find_map(|node| self.required(node)),
            _ => None,
        }
    }

    /// Whether every match starts at the subject's start (`lines`: or behind a newline).
    pub fn anchored(&self, node: &Node, lines: bool) -> bool {
        match node {
            Node::Assert(Assert::Start) => true,
            Node::Assert(Assert::LineStart) => lines,
            Node::Capture(_, inner) | Node::Atomic(inner) => self.anchored(inner, lines),
            Node::Concat(nodes) => nodes.first().is_some_and(|node| self.anchored(node, lines)),
            Node::Alt(nodes) => nodes.iter().all(|node| self.anchored(node, lines)),
            _ => false,
        }
    }

    /// Whether every match starts with a `.*` (`lines`: one that crosses lines), so that a match further on could as
    /// well have started here. Not true inside atomic groups, nor of groups that are referred to.
    pub fn starts_with_anything(&self, node: &Node, lines: bool) -> bool {
        match node {
            Node::Repeat { node, min: 0, max: None, .. } => match **node {
                Node::Any { newline } => newline || !lines,
                _ => false,
            },
            Node::Capture(_, inner) => self.starts_with_anything(inner, lines),
            Node::Concat(nodes) => nodes.first().is_some_and(|node| self.starts_with_anything(node, lines)),
            Node::Alt(nodes) => nodes.iter().all(|node| self.starts_with_anything(node, lines)),
            _ => false,
        }
    }

    /// Whether the tree contains a node for which `test` holds.
    pub fn any(node: &Node, test: &dyn Fn(&Node) -> bool) -> bool {
        if test(node) {
            return true;
        }
        match node {
            Node::Capture(_, inner)
            | Node::Atomic(inner)
            | Node::Repeat { node: inner, .. }
            | Node::Look { node: inner, .. } => Index::any(inner, test),
            Node::Concat(nodes) | Node::Alt(nodes) => nodes.iter().any(|node| Index::any(node, test)),
            Node::Cond { test: condition, yes, no } => {
                matches!(condition, Test::Look(look) if Index::any(look, test))
                    || Index::any(yes, test)
                    || Index::any(no, test)
            }
            _ => false,
        }
    }
}
