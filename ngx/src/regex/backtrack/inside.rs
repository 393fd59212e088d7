//! What is gone into and left again: atomic groups, assertions and calls of groups.
use super::super::MatchError;
use super::{Barrier, CallFrame, Frame, Machine, Scratch};

impl Machine<'_> {
    pub(super) fn begin(&mut self, kind: Barrier, past: u32, at: usize) -> Result<(), MatchError> {
        let outer = self.barrier;
        self.barrier = self.scratch.stack.len() as u32;
        self.push(Frame::Barrier { kind, past, at, outer })
    }

    /// Ends the innermost barrier: forgets the ways back inside it, keeps what restores slots. Where it began.
    pub(super) fn end(&mut self) -> Option<usize> {
        let height = self.barrier as usize;
        let Some(Frame::Barrier { at, outer, .. }) = self.scratch.stack.get(height).copied() else { return None };
        self.barrier = outer;
        let mut kept = height;
        for from in height..self.scratch.stack.len() {
            if let Frame::Undo { .. } = self.scratch.stack[from] {
                self.scratch.stack[kept] = self.scratch.stack[from];
                kept += 1;
            }
        }
        self.scratch.stack.truncate(kept);
        Some(at)
    }

    /// Pops frames down to `height`, restoring slots.
    pub(super) fn unwind(&mut self, height: usize) {
        while self.scratch.stack.len() > height {
            match self.scratch.stack.pop() {
                Some(Frame::Undo { slot, old }) => self.scratch.slots[slot as usize] = old,
                Some(Frame::Barrier { outer, .. }) => self.barrier = outer,
                Some(Frame::Call) => self.drop_call(),
                _ => {}
            }
        }
    }

    /// The stack index of the innermost open negative assertion.
    pub(super) fn negative_assertion(&self) -> Option<usize> {
        let mut at = self.barrier;
        while let Some(Frame::Barrier { kind, outer, .. }) = self.scratch.stack.get(at as usize) {
            if *kind == Barrier::Negative {
                return Some(at as usize);
            }
            at = *outer;
        }
        None
    }

    pub(super) fn call(&mut self, back: u32, group: u32, at: usize) -> Result<(), MatchError> {
        self.count(1)?;
        let again = self.scratch.calls.iter().rev().take_while(|call| call.at == at).any(|call| call.group == group);
        if again {
            return Err(MatchError::RecursionLoop);
        }
        let height = self.scratch.stack.len();
        let slots = self.text.program.slots;
        if self.scratch.calls.len() >= MAX_CALLS || self.scratch.saved.len() + slots > MAX_SAVED {
            return Err(MatchError::StackExceeded);
        }
        self.push(Frame::Call)?;
        self.scratch.calls.push(CallFrame { back, group, at, height });
        let Scratch { slots, saved, .. } = &mut *self.scratch;
        saved.extend_from_slice(slots);
        Ok(())
    }

    /// Returns from a call: the address to go on at. What the group did cannot be gone back into, and its slots are as
    /// before.
    pub(super) fn give_result(&mut self) -> Option<u32> {
        let call = self.scratch.calls.pop()?;
        self.scratch.stack.truncate(call.height);
        let from = self.scratch.saved.len() - self.text.program.slots;
        let Scratch { slots, saved, .. } = &mut *self.scratch;
        slots.copy_from_slice(&saved[from..]);
        saved.truncate(from);
        Some(call.back)
    }

    /// Undoes a call that was not returned from.
    pub(super) fn drop_call(&mut self) {
        self.scratch.calls.pop();
        let kept = self.scratch.saved.len().saturating_sub(self.text.program.slots);
        self.scratch.saved.truncate(kept);
    }
}

const MAX_CALLS: usize = 100_000;
const MAX_SAVED: usize = 4 << 20;
