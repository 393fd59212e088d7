//! Ways to choose from: alternatives, which are told apart by their first bytes where that is possible, and conditions.

use super::super::analysis::First;
use super::super::ast::{Node, Ref, Test};
use super::super::charset::{Bytes, CharSet};
use super::super::program::Inst;
use super::{Compile, Compiler, Index};

impl Compiler<'_, '_> {
    pub(super) fn alternatives(&mut self, nodes: &[Node], follow: &First) -> Compile<()> {
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
    pub(super) fn byte_set(&mut self, bytes: &Bytes) -> u32 {
        let mut set = CharSet::default();
        bytes.iter().for_each(|byte| set.add(u32::from(byte), u32::from(byte)));
        let frozen = set.freeze(false);
        let at = self.sets.iter().position(|known| *known == frozen).unwrap_or_else(|| {
            self.sets.push(frozen);
            self.sets.len() - 1
        });
        at as u32
    }

    pub(super) fn conditional(&mut self, test: &Test, yes: &Node, no: &Node, follow: &First) -> Compile<()> {
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
}

/// Tables of addresses in a program, at most: 1 KB each.
const MAX_TABLES: usize = 64;
