//! Trees to programs.
//!
//! Groups that are called (`(?1)`, `(?R)`) get a second copy of their code that ends in `Return`, so that ordinary
//! groups pay nothing for recursion. Bounded repetition of groups is unrolled; a cap on the program's size turns what
//! would explode into PCRE's own error.

mod branches;
mod groups;
mod repeat;
mod start;

use std::collections::HashMap;

use super::analysis::{First, Index};
use super::ast::Node;
use super::charset::{CharSet, Frozen};
use super::check::check;
use super::parse::Parsed;
use super::program::{Inst, NO_RUN, Program, Single};
use super::rewrite::rewrite;
use super::{CompileError, Flags};
use start::has_escape_hatch;

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
        first_run: start::first_run(&tree, &code).unwrap_or(NO_RUN),
        branching,
        code,
        literals,
        sets,
        tables,
        slots,
        utf: parsed.utf,
        start: start::of(&index, &tree),
        required: if has_escape_hatch(&tree) { None } else { index.required(&tree) },
    })
}

/// An ASCII character without case, which matches itself whatever the case.
fn caseless_as_is(node: &Node) -> bool {
    matches!(node, Node::Char(char, _) if *char < 0x80 && !(*char as u8).is_ascii_alphabetic())
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
}

/// Instructions in a program, at most.
const MAX_CODE: usize = 200_000;
/// Optional nodes to look through for what can follow.
const MAX_LOOK: usize = 16;
