//! Trees to programs.
//!
//! Groups that are called (`(?1)`, `(?R)`) get a second copy of their code that ends in `Return`, so that ordinary
//! groups pay nothing for recursion. Bounded repetition of groups is unrolled; a cap on the program's size turns what
//! would explode into PCRE's own error.

use std::collections::HashMap;

use memchr::memmem::Finder;

use super::analysis::{First, Index};
use super::ast::{Assert, Kind, Node, Ref, Test, branches};
use super::charset::{Bytes, CharSet, Frozen};
use super::check::check;
use super::parse::Parsed;
use super::program::{INFINITE, Inst, NO_RUN, Next, Program, Single, Start};
use super::rewrite::rewrite;
use super::{CompileError, Flags, words};

type Compile<T> = Result<T, CompileError>;

pub fn compile(parsed: &Parsed, flags: Flags) -> Compile<Program> {
    let index = Index::new(&parsed.node, parsed.groups, &parsed.names, parsed.utf);
    check(&index, parsed)?;
    let tree = rewrite(parsed.node.clone(), parsed.utf);
    let index = Index::new(&tree, parsed.groups, &parsed.names, parsed.utf);
    // While a group is open, its slots must still show its last round to those who can look.
    let watched = Index::any(&tree, &|node| {
        matches!(node, Node::Backref { .. } | Node::Call(_) | Node::Cond { .. } | Node::Accept)
    });
    let slots = 2 * (parsed.groups as usize + 1);
    let mut compiler = Compiler {
        index: &index,
        code: Vec::new(),
        literals: Vec::new(),
        sets: Vec::new(),
        tables: Vec::new(),
        slots,
        watched,
        registers: HashMap::new(),
        calls: Vec::new(),
        enclosing: Vec::new(),
        javascript: flags.javascript_compat,
    };
    let end = First::nothing();
    compiler.node(&tree, &end)?;
    compiler.push(Inst::Match)?;
    compiler.subroutines()?;
    let Compiler { code, literals, sets, tables, slots, .. } = compiler;
    let branching = code.iter().any(|inst| {
        let simple = matches!(inst, Inst::Branch { .. } | Inst::BranchIf { .. } | Inst::BranchTo { .. });
        simple || matches!(inst, Inst::Greedy { .. } | Inst::Lazy { .. } | Inst::Call { .. } | Inst::AtomicBegin)
    });
    Ok(Program {
        first_run: first_run(&tree, &code).unwrap_or(NO_RUN),
        branching,
        code,
        literals,
        sets,
        tables,
        slots,
        utf: parsed.utf,
        start: start(&index, &tree),
        required: if has_escape_hatch(&tree) { None } else { index.required(&tree) },
    })
}

/// An ASCII character without case, which matches itself whatever the case.
fn caseless_as_is(node: &Node) -> bool {
    matches!(node, Node::Char(char, _) if *char < 0x80 && !(*char as u8).is_ascii_alphabetic())
}

/// `(*ACCEPT)` ends a match before what the pattern still requires.
fn has_escape_hatch(node: &Node) -> bool {
    Index::any(node, &|node| matches!(node, Node::Accept))
}

fn start(index: &Index, node: &Node) -> Start {
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
fn first_run(node: &Node, code: &[Inst]) -> Option<u32> {
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

struct Compiler<'i, 't> {
    index: &'i Index<'t>,
    code: Vec<Inst>,
    literals: Vec<u8>,
    sets: Vec<Frozen>,
    tables: Vec<[u32; 256]>,
    slots: usize,
    watched: bool,
    /// The register of each group's start, and each loop's, by instruction address.
    registers: HashMap<u32, u32>,
    /// Calls to fill in, and the group they go to.
    calls: Vec<(usize, u32)>,
    /// What encloses the node at hand, for `(*ACCEPT)`.
    enclosing: Vec<Enclosing>,
    javascript: bool,
}

#[derive(Clone, Debug)]
enum Enclosing {
    Group(u32),
    Atomic,
    /// With the jumps to its end that `(*ACCEPT)` made.
    Look {
        negative: bool,
        accepts: Vec<usize>,
    },
    Subroutine,
}

impl Compiler<'_, '_> {
    fn push(&mut self, inst: Inst) -> Compile<usize> {
        if self.code.len() >= MAX_CODE {
            return Err(CompileError { message: "regular expression is too large", offset: 0 });
        }
        self.code.push(inst);
        Ok(self.code.len() - 1)
    }

    fn here(&self) -> u32 {
        self.code.len() as u32
    }

    fn register(&mut self) -> u32 {
        self.slots += 1;
        (self.slots - 1) as u32
    }

    fn set(&mut self, set: &CharSet) -> u32 {
        let frozen = set.clone().freeze(self.index.utf);
        let at = self.sets.iter().position(|known| *known == frozen).unwrap_or_else(|| {
            self.sets.push(frozen);
            self.sets.len() - 1
        });
        at as u32
    }

    /// Makes the jump at `at` go to the next instruction.
    fn land(&mut self, at: usize) {
        let here = self.here();
        match &mut self.code[at] {
            Inst::Branch { other: to }
            | Inst::BranchIf { other: to, .. }
            | Inst::Enter { other: to, .. }
            | Inst::BranchTo { first: to }
            | Inst::Jump { to }
            | Inst::RoundEnd { exit: to, .. }
            | Inst::NegativeBegin { past: to }
            | Inst::IfGroup { otherwise: to, .. }
            | Inst::IfRegister { otherwise: to, .. }
            | Inst::IfRecursion { otherwise: to, .. } => *to = here,
            other => debug_assert!(false, "{other:?} does not jump"),
        }
    }

    fn single(&mut self, node: &Node) -> Single {
        let utf = self.index.utf;
        match node {
            Node::Char(char, caseless) if !(*caseless && self.index.has_case(*char)) => {
                if !utf || *char < 0x80 {
                    return Single::Byte(*char as u8);
                }
                Single::WideSet(self.set(&CharSet::from_ranges(&[(*char, *char)])))
            }
            Node::Char(char, _) => {
                let mut set = CharSet::from_ranges(&[(*char, *char)]);
                set.fold_case(utf);
                if set.ranges().iter().all(|range| range.1 < 0x80) {
                    return Single::Letter((*char as u8).to_ascii_lowercase());
                }
                if utf { Single::WideSet(self.set(&set)) } else { Single::Set(self.set(&set)) }
            }
            Node::Set(set) if utf => Single::WideSet(self.set(set)),
            Node::Set(set) => match *set.clone().complement(0xff).ranges() {
                // (a class of all bytes has an empty complement)
                [] => Single::AnyByte,
                [(low, high)] if high - low < 3 => Single::Not([low as u8, high.min(low + 1) as u8, high as u8]),
                [(a, b), (c, d)] if a == b && d - c < 2 => Single::Not([a as u8, c as u8, d as u8]),
                [(a, b), (c, d)] if c == d && b - a < 2 => Single::Not([a as u8, b as u8, c as u8]),
                [(a, b), (c, d), (e, f)] if a == b && c == d && e == f => Single::Not([a as u8, c as u8, e as u8]),
                _ => Single::Set(self.set(set)),
            },
            Node::Any { newline: true } if utf => Single::WideAny,
            Node::Any { newline: false } if utf => Single::WideNotNewline,
            Node::Any { newline: false } => Single::NotNewline,
            _ => Single::AnyByte,
        }
    }

    /// Emits code for a node; `follow` is what can come after it, for deciding what need not be tried.
    fn node(&mut self, node: &Node, follow: &First) -> Compile<()> {
        match node {
            Node::Empty => {}
            Node::Char(..) | Node::Set(_) | Node::Any { .. } | Node::Byte => {
                if let Node::Char(char, false) = node
                    && self.index.utf
                    && *char >= 0x80
                {
                    return self.concat(std::slice::from_ref(node), follow);
                }
                let single = self.single(node);
                self.push(Inst::One(single))?;
            }
            Node::Newline => {
                self.push(Inst::Newline)?;
            }
            Node::Grapheme => {
                let mut marks = CharSet::property("M").unwrap_or_default();
                marks.add(0x200d, 0x200d);
                marks.cut(if self.index.utf { u32::MAX } else { 0xff });
                let marks = self.set(&marks);
                self.push(Inst::Grapheme { marks })?;
            }
            Node::Assert(assert) => {
                self.push(Inst::Assert(*assert))?;
            }
            Node::Keep => {
                self.push(Inst::Keep)?;
            }
            Node::Backref { to, caseless } => {
                let groups = self.index.resolve(to)?.into_boxed_slice();
                self.push(Inst::Backref { groups, caseless: *caseless, unset_matches: self.javascript })?;
            }
            Node::Capture(group, inner) => self.capture(*group, inner, follow)?,
            Node::Atomic(inner) => {
                self.push(Inst::AtomicBegin)?;
                self.enclosing.push(Enclosing::Atomic);
                self.node(inner, &First::nothing())?;
                self.enclosing.pop();
                self.push(Inst::AtomicEnd)?;
            }
            Node::Look { behind, negative, node, .. } => self.look(*behind, *negative, node)?,
            Node::Repeat { node, min, max, kind } => self.repeat(node, *min, *max, *kind, follow)?,
            Node::Concat(nodes) => self.concat(nodes, follow)?,
            Node::Alt(nodes) => self.alternatives(nodes, follow)?,
            Node::Call(to) => {
                let group = self.index.target(to)?;
                let at = self.push(Inst::Call { to: 0, group })?;
                self.calls.push((at, group));
            }
            Node::Cond { test, yes, no } => self.conditional(test, yes, no, follow)?,
            Node::Accept => self.accept()?,
            Node::Fail => {
                self.push(Inst::Fail)?;
            }
            Node::Verb(verb) => {
                self.push(Inst::Verb(*verb))?;
            }
        }
        Ok(())
    }

    fn concat(&mut self, nodes: &[Node], follow: &First) -> Compile<()> {
        let mut at = 0;
        while at < nodes.len() {
            let run = nodes[at..].iter().take_while(|node| self.literal(node).is_some()).count();
            let caseless = |node: &Node| self.literal(node) == Some(true);
            if run > 0 && (run > 1 || (self.index.utf && !caseless(&nodes[at]))) {
                let kind = caseless(&nodes[at]);
                // Characters without case go with either kind.
                let run = nodes[at..at + run]
                    .iter()
                    .take_while(|node| caseless(node) == kind || kind && caseless_as_is(node))
                    .count();
                let start = self.literals.len();
                for node in &nodes[at..at + run] {
                    if let Node::Char(char, _) = node {
                        let char = if kind { u32::from((*char as u8).to_ascii_lowercase()) } else { *char };
                        self.index.push_char(char, &mut self.literals);
                    }
                }
                let (start, len) = (start as u32, (self.literals.len() - start) as u32);
                let inst =
                    if kind { Inst::LiteralCaseless { at: start, len } } else { Inst::Literal { at: start, len } };
                self.push(inst)?;
                at += run;
                continue;
            }
            let next = self.follow(&nodes[at + 1..], follow);
            self.node(&nodes[at], &next)?;
            at += 1;
        }
        Ok(())
    }

    /// What can follow a node before `rest`. Long runs of optional nodes are not looked through.
    fn follow(&self, rest: &[Node], follow: &First) -> First {
        let mut first = First::nothing();
        for (at, node) in rest.iter().enumerate() {
            if !first.nullable {
                return first;
            }
            if at == MAX_LOOK {
                return First::unknown();
            }
            first = first.then(&self.index.first(node, true));
        }
        first.then(follow)
    }

    /// Whether the node can be part of a literal: `Some(false)` exactly, `Some(true)` as an ASCII letter in either
    /// case.
    fn literal(&self, node: &Node) -> Option<bool> {
        let Node::Char(char, caseless) = node else { return None };
        if !*caseless || !self.index.has_case(*char) {
            return Some(false);
        }
        let plain = *char < 0x80 && !(self.index.utf && matches!((*char as u8).to_ascii_lowercase(), b'k' | b's'));
        plain.then_some(true)
    }

    fn capture(&mut self, group: u32, inner: &Node, follow: &First) -> Compile<()> {
        self.enclosing.push(Enclosing::Group(group));
        if self.watched {
            let register = match self.registers.get(&group) {
                Some(register) => *register,
                None => {
                    let register = self.register();
                    self.registers.insert(group, register);
                    register
                }
            };
            self.push(Inst::Save { slot: register })?;
            self.node(inner, follow)?;
            self.push(Inst::Close { group, from: register })?;
        } else {
            // Nobody looks before the group ends, and leaving it undone restores both.
            let begin = self.push(Inst::Save { slot: 2 * group })?;
            self.node(inner, follow)?;
            match self.code[begin..] {
                [_, Inst::Possessive { what, min, max }] => {
                    self.code.truncate(begin);
                    self.push(Inst::Captured { group, what, min, max })?;
                }
                _ => {
                    self.push(Inst::Save { slot: 2 * group + 1 })?;
                }
            }
        }
        self.enclosing.pop();
        Ok(())
    }

    fn look(&mut self, behind: bool, negative: bool, node: &Node) -> Compile<()> {
        if node.is_single() && !(behind && matches!(node, Node::Byte)) {
            let what = self.single(node);
            self.push(Inst::Peek { what, behind, negative })?;
            return Ok(());
        }
        let begin = self.push(if negative { Inst::NegativeBegin { past: 0 } } else { Inst::LookBegin })?;
        self.enclosing.push(Enclosing::Look { negative, accepts: Vec::new() });
        let end = First::nothing();
        if behind {
            let branches = branches(node);
            let mut jumps = Vec::new();
            for (at, branch) in branches.iter().enumerate() {
                // (`check` has seen to it that there is one)
                let count = self.index.fixed_length(branch).unwrap_or(0);
                let last = at + 1 == branches.len();
                let fork = if last { None } else { Some(self.push(Inst::Branch { other: 0 })?) };
                self.push(Inst::Back { count })?;
                self.node(branch, &end)?;
                if let Some(fork) = fork {
                    jumps.push(self.push(Inst::Jump { to: 0 })?);
                    self.land(fork);
                }
            }
            jumps.into_iter().for_each(|jump| self.land(jump));
        } else {
            self.node(node, &end)?;
        }
        let enclosing = self.enclosing.pop();
        if negative {
            self.push(Inst::NegativeEnd)?;
            self.land(begin);
        } else {
            self.push(Inst::LookEnd)?;
            if let Some(Enclosing::Look { accepts, .. }) = enclosing {
                accepts.into_iter().for_each(|jump| self.land(jump));
            }
        }
        Ok(())
    }

    fn alternatives(&mut self, nodes: &[Node], follow: &First) -> Compile<()> {
        // What each one can start with; unknown if it must be entered in any case, for a verb in it to act.
        let firsts: Vec<Option<Bytes>> = nodes
            .iter()
            .map(|node| {
                let verbs = Index::any(node, &|node| matches!(node, Node::Verb(_)));
                let first = self.index.first(node, false);
                (!verbs && !first.nullable && first.bytes != Bytes::ALL).then_some(first.bytes)
            })
            .collect();
        let switch = match nodes.len() > 2 && self.tables.len() < MAX_TABLES && firsts.iter().all(Option::is_some) {
            true => {
                self.tables.push([0; 256]);
                let table = self.tables.len() as u32 - 1;
                self.push(Inst::Switch { table })?;
                let fail = self.here();
                self.push(Inst::Fail)?;
                Some((table as usize, fail))
            }
            false => None,
        };
        let (mut jumps, mut entries) = (Vec::new(), Vec::new());
        for (at, node) in nodes.iter().enumerate() {
            let entry = self.here();
            let last = at + 1 == nodes.len();
            let fork = match &firsts[at] {
                _ if last => None,
                None => Some(self.push(Inst::Branch { other: 0 })?),
                Some(first) => {
                    let set = self.byte_set(first);
                    let alone = firsts[at + 1..].iter().all(|other| other.is_some_and(|other| !other.overlaps(first)));
                    Some(self.push(match alone {
                        true => Inst::Enter { set, other: 0 },
                        false => Inst::BranchIf { set, other: 0 },
                    })?)
                }
            };
            entries.push((entry, self.here()));
            self.node(node, follow)?;
            if !last {
                jumps.push(self.push(Inst::Jump { to: 0 })?);
            }
            fork.into_iter().for_each(|fork| self.land(fork));
        }
        jumps.into_iter().for_each(|jump| self.land(jump));
        if let Some((table, fail)) = switch {
            for byte in 0..=255u8 {
                let mut fitting = (0..nodes.len()).filter(|&at| firsts[at].is_some_and(|first| first.has(byte)));
                self.tables[table][usize::from(byte)] = match (fitting.next(), fitting.next()) {
                    (None, _) => fail,
                    (Some(at), None) => entries[at].1,
                    (Some(at), Some(_)) => entries[at].0,
                };
            }
        }
        Ok(())
    }

    /// A set over bytes, whatever the mode.
    fn byte_set(&mut self, bytes: &Bytes) -> u32 {
        let mut set = CharSet::default();
        bytes.iter().for_each(|byte| set.add(u32::from(byte), u32::from(byte)));
        let frozen = set.freeze(false);
        let at = self.sets.iter().position(|known| *known == frozen).unwrap_or_else(|| {
            self.sets.push(frozen);
            self.sets.len() - 1
        });
        at as u32
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, kind: Kind, follow: &First) -> Compile<()> {
        if max == Some(0) {
            return Ok(());
        }
        if (min, max) == (1, Some(1)) {
            return match kind {
                Kind::Possessive => self.node(&Node::Atomic(Box::new(node.clone())), follow),
                _ => self.node(node, follow),
            };
        }
        if node.is_single() {
            let what = self.single(node);
            let max = max.unwrap_or(INFINITE);
            // What follows can begin neither with another round nor with nothing: giving back would not help.
            let own = self.index.single_first(node);
            let at_end = follow.nullable && !follow.conditional;
            let exclusive = !follow.bytes.overlaps(&own) && (!follow.nullable || at_end);
            let next = if kind == Kind::Possessive || exclusive { Next::Unknown } else { self.next(follow) };
            let inst = match kind {
                Kind::Possessive => Inst::Possessive { what, min, max },
                Kind::Greedy if exclusive || min == max => Inst::Possessive { what, min, max },
                Kind::Greedy => Inst::Greedy { what, min, max, next },
                Kind::Lazy if min == max => Inst::Possessive { what, min, max },
                Kind::Lazy => Inst::Lazy { what, min, max, next },
            };
            self.push(inst)?;
            return Ok(());
        }
        if kind == Kind::Possessive {
            let greedy = Node::Repeat { node: Box::new(node.clone()), min, max, kind: Kind::Greedy };
            return self.node(&Node::Atomic(Box::new(greedy)), follow);
        }
        let nullable = self.index.nullable(node);
        // After a round comes another one or what follows.
        let inner = self.index.first(node, true).then(follow).or(follow);
        let runs = if max.is_none() && min < 2 { self.runs(node, follow) } else { None };
        let node = runs.as_ref().unwrap_or(node);
        let required = if max.is_none() && min > 0 { min - 1 } else { min };
        for _ in 0..required {
            self.node(node, &inner)?;
        }
        match max {
            None if min > 0 => {
                // At least one more round, then the question whether to go on.
                let top = self.here();
                let round = self.round_begin(nullable)?;
                self.node(node, &inner)?;
                let leave = self.round_end(round)?;
                let fork = self.fork(node, kind, follow)?;
                self.push(Inst::Jump { to: top })?;
                self.land(fork);
                leave.into_iter().for_each(|at| self.land(at));
            }
            None => {
                let top = self.here();
                let fork = self.fork(node, kind, follow)?;
                let round = self.round_begin(nullable)?;
                self.node(node, &inner)?;
                let leave = self.round_end(round)?;
                self.push(Inst::Jump { to: top })?;
                self.land(fork);
                leave.into_iter().for_each(|at| self.land(at));
            }
            Some(max) => {
                let mut forks = Vec::new();
                for _ in min..max {
                    forks.push(self.fork(node, kind, follow)?);
                    self.node(node, &inner)?;
                }
                forks.into_iter().for_each(|fork| self.land(fork));
            }
        }
        Ok(())
    }

    /// `(?:[^"\\]|\\.)*` with runs instead of characters: `(?:[^"\\]++|\\.)*`. Only if nothing else can begin inside of a
    /// run, neither another alternative nor what follows.
    fn runs(&self, node: &Node, follow: &First) -> Option<Node> {
        let Node::Alt(nodes) = node else { return None };
        let firsts: Vec<First> = nodes.iter().map(|node| self.index.first(node, false)).collect();
        let distinct = firsts
            .iter()
            .enumerate()
            .all(|(at, first)| !first.nullable && !firsts[..at].iter().any(|other| other.bytes.overlaps(&first.bytes)));
        let verbs = Index::any(node, &|node| matches!(node, Node::Verb(_)));
        if verbs || !distinct || !nodes.iter().any(Node::is_single) {
            return None;
        }
        let ends = |first: &First| !follow.nullable && !follow.bytes.overlaps(&first.bytes);
        let runs = nodes.iter().zip(&firsts).map(|(node, first)| match node.is_single() && ends(first) {
            true => Node::Repeat { node: Box::new(node.clone()), min: 1, max: None, kind: Kind::Possessive },
            false => node.clone(),
        });
        Some(Node::Alt(runs.collect()))
    }

    /// The question whether to go for another round. The jump is to what comes after the loop.
    fn fork(&mut self, node: &Node, kind: Kind, follow: &First) -> Compile<usize> {
        let first = self.index.first(node, false);
        let verbs = Index::any(node, &|node| matches!(node, Node::Verb(_)));
        if verbs || first.nullable || first.bytes == Bytes::ALL {
            return self.push(match kind {
                Kind::Lazy => Inst::BranchTo { first: 0 },
                _ => Inst::Branch { other: 0 },
            });
        }
        // When a round can start here, what follows cannot: no other way is left to try.
        if !follow.nullable && !follow.bytes.overlaps(&first.bytes) {
            let set = self.byte_set(&first.bytes);
            return self.push(Inst::Enter { set, other: 0 });
        }
        if kind == Kind::Lazy {
            return self.push(Inst::BranchTo { first: 0 });
        }
        let set = self.byte_set(&first.bytes);
        self.push(Inst::BranchIf { set, other: 0 })
    }

    /// What must follow, for a repetition of single characters.
    fn next(&mut self, follow: &First) -> Next {
        if follow.nullable || follow.bytes == Bytes::ALL {
            return Next::Unknown;
        }
        let mut followers = follow.bytes.iter();
        match (followers.next(), followers.next()) {
            (Some(byte), None) if !follow.end => Next::Byte(byte),
            _ => Next::Set { set: self.byte_set(&follow.bytes), end: follow.end },
        }
    }

    fn round_begin(&mut self, nullable: bool) -> Compile<Option<u32>> {
        if !nullable {
            return Ok(None);
        }
        let register = self.register();
        self.push(Inst::RoundBegin { register })?;
        Ok(Some(register))
    }

    fn round_end(&mut self, register: Option<u32>) -> Compile<Option<usize>> {
        register.map(|register| self.push(Inst::RoundEnd { register, exit: 0 })).transpose()
    }

    fn conditional(&mut self, test: &Test, yes: &Node, no: &Node, follow: &First) -> Compile<()> {
        let fork = match test {
            Test::Never => return Ok(()),
            Test::Group(to) => {
                let groups = self.index.resolve(to)?.into_boxed_slice();
                self.push(Inst::IfGroup { groups, otherwise: 0 })?
            }
            Test::Recursion(to) => {
                let groups = to.as_ref().map(|to| self.recursion_groups(to)).transpose()?;
                self.push(Inst::IfRecursion { groups, otherwise: 0 })?
            }
            Test::Look(look) => {
                let Node::Look { behind, negative, node, .. } = &**look else {
                    // An assertion that cannot hold has become a plain failure.
                    return self.node(no, follow);
                };
                return self.conditional_look((*behind, *negative, node), yes, no, follow);
            }
        };
        self.node(yes, follow)?;
        let out = self.push(Inst::Jump { to: 0 })?;
        self.land(fork);
        self.node(no, follow)?;
        self.land(out);
        Ok(())
    }

    fn recursion_groups(&self, to: &Ref) -> Compile<Box<[u32]>> {
        self.index.resolve(to).map(Vec::into_boxed_slice)
    }

    /// `(?(?=test)yes|no)`: the outcome of the test is final, and `no` must not be tried after a failure in `yes`.
    fn conditional_look(
        &mut self,
        (behind, negative, node): (bool, bool, &Node),
        yes: &Node,
        no: &Node,
        follow: &First,
    ) -> Compile<()> {
        // An atomic group sets a register by the outcome; what comes after branches on the register.
        let flag = self.register();
        self.push(Inst::AtomicBegin)?;
        let fork = self.push(Inst::Branch { other: 0 })?;
        self.look(behind, negative, node)?;
        self.push(Inst::RoundBegin { register: flag })?;
        let out = self.push(Inst::Jump { to: 0 })?;
        self.land(fork);
        self.push(Inst::ClearRegister { register: flag })?;
        self.land(out);
        self.push(Inst::AtomicEnd)?;
        let choose = self.push(Inst::IfRegister { register: flag, otherwise: 0 })?;
        self.node(yes, follow)?;
        let out = self.push(Inst::Jump { to: 0 })?;
        self.land(choose);
        self.node(no, follow)?;
        self.land(out);
        Ok(())
    }

    /// `(*ACCEPT)`: ends the innermost assertion, called group or match, closing the groups that are open in it.
    fn accept(&mut self) -> Compile<()> {
        for at in (0..self.enclosing.len()).rev() {
            match self.enclosing[at] {
                Enclosing::Group(group) => {
                    let from = self.registers.get(&group).copied().unwrap_or(2 * group);
                    self.push(Inst::Close { group, from })?;
                }
                Enclosing::Atomic => {
                    self.push(Inst::AtomicEnd)?;
                }
                Enclosing::Look { negative: true, .. } => {
                    self.push(Inst::NegativeEnd)?;
                    return Ok(());
                }
                Enclosing::Look { negative: false, .. } => {
                    self.push(Inst::LookEnd)?;
                    let jump = self.push(Inst::Jump { to: 0 })?;
                    if let Enclosing::Look { accepts, .. } = &mut self.enclosing[at] {
                        accepts.push(jump);
                    }
                    return Ok(());
                }
                Enclosing::Subroutine => {
                    self.push(Inst::Return)?;
                    return Ok(());
                }
            }
        }
        self.push(Inst::Match)?;
        Ok(())
    }

    /// Emits the copies of called groups, and points the calls at them.
    fn subroutines(&mut self) -> Compile<()> {
        let mut entries: HashMap<u32, u32> = HashMap::new();
        while let Some((at, group)) = self.calls.pop() {
            let entry = match entries.get(&group) {
                Some(entry) => *entry,
                None => {
                    let entry = self.here();
                    entries.insert(group, entry);
                    self.enclosing = vec![Enclosing::Subroutine];
                    if let Some(body) = self.index.body(group) {
                        let end = First::nothing();
                        if group == 0 { self.node(body, &end)? } else { self.capture(group, body, &end)? }
                    }
                    self.push(Inst::Return)?;
                    entry
                }
            };
            if let Inst::Call { to, .. } = &mut self.code[at] {
                *to = entry;
            }
        }
        Ok(())
    }
}

/// Instructions in a program, at most.
const MAX_CODE: usize = 200_000;
/// Tables of addresses in a program, at most: 1 KB each.
const MAX_TABLES: usize = 64;
/// Optional nodes to look through for what can follow.
const MAX_LOOK: usize = 16;
