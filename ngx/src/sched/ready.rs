//! The queue of light threads that can go on. Most runs have one thread: it needs no room on the heap.
use std::collections::VecDeque;

use vm::{ThreadId, Wake};

type Entry = (ThreadId, Wake);

#[derive(Default)]
pub(super) struct Ready {
    /// Before all others; empty only if there are no others.
    first: Option<Entry>,
    others: VecDeque<Entry>,
}

impl Ready {
    pub fn push_back(&mut self, entry: Entry) {
        match &self.first {
            None => self.first = Some(entry),
            Some(_) => self.others.push_back(entry),
        }
    }
    pub fn push_front(&mut self, entry: Entry) {
        if let Some(second) = self.first.replace(entry) {
            self.others.push_front(second);
        }
    }
    pub fn pop_front(&mut self) -> Option<Entry> {
        let first = self.first.take()?;
        self.first = self.others.pop_front();
        Some(first)
    }
    /// Takes a thread out that is no more.
    pub fn forget(&mut self, dead: ThreadId) {
        self.others.retain(|(id, _)| *id != dead);
        if self.first.as_ref().is_some_and(|(id, _)| *id == dead) {
            self.first = self.others.pop_front();
        }
    }
}
