//! Repetitions: of single characters as one instruction, of anything else as loops or unrolled. What can follow decides whether
//! there is a way back to keep.

use super::super::analysis::First;
use super::super::ast::{Kind, Node};
use super::super::charset::Bytes;
use super::super::program::{INFINITE, Inst, Next};
use super::{Compile, Compiler, Index};

impl Compiler<'_, '_> {
    pub(super) fn repeat(
        &mut self,
        node: &Node,
        min: u32,
        max: Option<u32>,
        kind: Kind,
        follow: &First,
    ) -> Compile<()> {
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
}
