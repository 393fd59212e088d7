//! What encloses other nodes: groups, assertions that look around, copies of groups that are called; and `(*ACCEPT)`, which leaves
//! them all.

use std::collections::HashMap;

use super::super::analysis::First;
use super::super::ast::{Node, branches};
use super::super::program::Inst;
use super::{Compile, Compiler, Enclosing};

impl Compiler<'_, '_> {
    pub(super) fn capture(&mut self, group: u32, inner: &Node, follow: &First) -> Compile<()> {
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

    pub(super) fn look(&mut self, behind: bool, negative: bool, node: &Node) -> Compile<()> {
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

    /// `(*ACCEPT)`: ends the innermost assertion, called group or match, closing the groups that are open in it.
    pub(super) fn accept(&mut self) -> Compile<()> {
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
    pub(super) fn subroutines(&mut self) -> Compile<()> {
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
