//! The backtracking machine.
//!
//! It runs a program forward and keeps, on a stack of its own, what to do when it cannot go on: places to take another
//! way (`Branch`, `Greedy`, `Lazy`), slots to restore (`Undo`), and marks of what was begun (`Barrier`, `Call`,
//! `Verb`). Failing pops frames until one names a way to go on.
//!
//! What must stay true:
//! - slots change only through `set`, which stacks the old value first, so that popping down to a frame restores the
//!   slots to what they were when it was pushed; with nothing on the stack it only notes that the next attempt has to
//!   clear them;
//! - `barrier` is the stack index of the innermost barrier that was begun and not ended; ending one removes the ways
//!   back inside it but keeps its undo frames, since the slots may still have to be restored from outside;
//! - every way back taken and every long scan is counted, so the work between two checks of the budget is bounded.

use super::MatchError;
use super::ast::Verb;
use super::program::{INFINITE, Inst, UNSET};
use super::scan::Text;

mod inside;
mod repeats;

/// Memory of a search, reused from one to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    pub slots: Vec<usize>,
    pub steps: u64,
    stack: Vec<Frame>,
    calls: Vec<CallFrame>,
    /// Slots as they were before each call in `calls`, one after the other.
    saved: Vec<usize>,
    best: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Frame {
    Branch {
        pc: u32,
        at: usize,
    },
    /// A greedy repetition that can give back characters down to `low`.
    Greedy {
        pc: u32,
        low: usize,
        at: usize,
    },
    /// A lazy repetition that can take `left` characters more.
    Lazy {
        pc: u32,
        at: usize,
        left: u32,
    },
    Undo {
        slot: u32,
        old: usize,
    },
    Barrier {
        kind: Barrier,
        /// Where a negative assertion goes when its inside has failed.
        past: u32,
        at: usize,
        outer: u32,
    },
    Call,
    Verb {
        verb: Verb,
        at: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Barrier {
    Atomic,
    Look,
    Negative,
}

#[derive(Clone, Copy, Debug)]
struct CallFrame {
    back: u32,
    group: u32,
    at: usize,
    /// The stack's height before the call.
    height: usize,
}

/// How an attempt from one starting point ended.
pub enum Outcome {
    Match,
    NoMatch,
    /// No other starting point may be tried, or only those from here on.
    Stop,
    SkipTo(usize),
}

pub struct Machine<'m> {
    text: Text<'m>,
    longest: bool,
    pub scratch: &'m mut Scratch,
    barrier: u32,
    /// Where the budget ends.
    pub attempt_end: u64,
    /// Where the program's first run ended in this attempt.
    pub run_end: usize,
    /// Slots were changed without stacking the old value.
    dirty: bool,
    /// The longest end so far, when looking for the longest match.
    best: Option<usize>,
}

impl Scratch {
    /// What one hard search needed is not kept for the many easy ones.
    #[inline]
    pub fn trim(&mut self) {
        if self.stack.capacity().max(self.saved.capacity()) > KEPT_STACK {
            self.stack.clear();
            self.stack.shrink_to(KEPT_STACK);
            self.saved.clear();
            self.saved.shrink_to(KEPT_STACK);
        }
    }
}

impl<'m> Machine<'m> {
    pub fn new(text: Text<'m>, longest: bool, scratch: &'m mut Scratch) -> Machine<'m> {
        scratch.steps = 0;
        scratch.slots.clear();
        scratch.slots.resize(text.program.slots, UNSET);
        scratch.stack.clear();
        scratch.calls.clear();
        scratch.saved.clear();
        Machine { text, longest, scratch, barrier: NONE, attempt_end: 0, run_end: 0, dirty: false, best: None }
    }

    #[inline]
    fn set(&mut self, slot: u32, value: usize) -> Result<(), MatchError> {
        if self.scratch.stack.is_empty() {
            // There is no way back but to the next attempt.
            self.dirty = true;
            self.scratch.slots[slot as usize] = value;
            return Ok(());
        }
        let old = std::mem::replace(&mut self.scratch.slots[slot as usize], value);
        self.push(Frame::Undo { slot, old })
    }

    #[inline]
    fn push(&mut self, frame: Frame) -> Result<(), MatchError> {
        if self.scratch.stack.len() >= MAX_STACK {
            return Err(MatchError::StackExceeded);
        }
        self.scratch.stack.push(frame);
        Ok(())
    }

    #[inline]
    fn count(&mut self, steps: u64) -> Result<(), MatchError> {
        self.scratch.steps += steps;
        if self.scratch.steps > self.attempt_end { Err(MatchError::LimitExceeded) } else { Ok(()) }
    }

    pub fn attempt(&mut self, start: usize) -> Result<Outcome, MatchError> {
        if std::mem::take(&mut self.dirty) {
            self.scratch.slots.fill(UNSET);
        }
        // A failed attempt has undone all it did, so the slots are as they were before the first one.
        debug_assert!(self.scratch.stack.is_empty() && self.scratch.slots[1..].iter().all(|&slot| slot == UNSET));
        self.scratch.slots[0] = start;
        let (mut pc, mut at) = (0, start);
        let (program, text) = (self.text.program, self.text);
        let code = program.code.as_slice();
        'run: loop {
            // Every arm goes on with the next instruction or at another place, or leaves this block: that is failing.
            'failed: {
                match &code[pc as usize] {
                    Inst::Match => {
                        self.scratch.slots[1] = at;
                        if !self.longest {
                            return Ok(Outcome::Match);
                        }
                        if self.best.is_none_or(|best| at > best) {
                            self.best = Some(at);
                            let Scratch { slots, best, .. } = &mut *self.scratch;
                            best.clone_from(slots);
                        }
                        break 'failed;
                    }
                    Inst::Fail => break 'failed,
                    Inst::One(what) => match text.one(*what, at) {
                        Some(after) => (pc, at) = (pc + 1, after),
                        None => break 'failed,
                    },
                    Inst::Literal { at: from, len } => {
                        let literal = &program.literals[*from as usize..(*from + *len) as usize];
                        if !starts_with(&text.subject[at..], literal) {
                            break 'failed;
                        }
                        (pc, at) = (pc + 1, at + literal.len());
                    }
                    Inst::LiteralCaseless { at: from, len } => {
                        let literal = &program.literals[*from as usize..(*from + *len) as usize];
                        let here = text.subject.get(at..at + literal.len());
                        if !here.is_some_and(|here| here.eq_ignore_ascii_case(literal)) {
                            break 'failed;
                        }
                        (pc, at) = (pc + 1, at + literal.len());
                    }
                    Inst::Greedy { what, min, max, next } => {
                        let (low, end) = self.repeat(*what, at, *min, *max)?;
                        let Some(low) = low else { break 'failed };
                        if program.first_run == pc {
                            self.run_end = end;
                        }
                        if low != end {
                            match self.give_back(pc, *what, *next, low, end)? {
                                Some(place) => at = place,
                                None => break 'failed,
                            }
                        } else if text.may_follow(*next, end) {
                            at = end;
                        } else {
                            break 'failed;
                        }
                        pc += 1;
                    }
                    Inst::Possessive { what, min, max } => {
                        let (low, end) = self.repeat(*what, at, *min, *max)?;
                        if low.is_none() {
                            break 'failed;
                        }
                        if program.first_run == pc {
                            self.run_end = end;
                        }
                        (pc, at) = (pc + 1, end);
                    }
                    Inst::Captured { group, what, min, max } => {
                        let (low, end) = self.repeat(*what, at, *min, *max)?;
                        if low.is_none() {
                            break 'failed;
                        }
                        if program.first_run == pc {
                            self.run_end = end;
                        }
                        self.set(2 * group, at)?;
                        self.set(2 * group + 1, end)?;
                        (pc, at) = (pc + 1, end);
                    }
                    Inst::Peek { what, behind, negative } => {
                        let place = if *behind { text.back(at, 1) } else { Some(at) };
                        if place.is_some_and(|place| text.one(*what, place).is_some()) == *negative {
                            break 'failed;
                        }
                        pc += 1;
                    }
                    Inst::Lazy { what, min, max, next } => {
                        let end = match min {
                            0 => at,
                            _ => match self.repeat(*what, at, *min, *min)? {
                                (None, _) => break 'failed,
                                (Some(_), end) => end,
                            },
                        };
                        let left = if *max == INFINITE { INFINITE } else { max - min };
                        match self.take_more(pc, *what, *next, end, left)? {
                            Some(place) => (pc, at) = (pc + 1, place),
                            None => break 'failed,
                        }
                    }
                    Inst::Branch { other } => {
                        self.count(1)?;
                        self.push(Frame::Branch { pc: *other, at })?;
                        pc += 1;
                    }
                    Inst::BranchIf { set, other } => {
                        if text.in_set(*set, at) {
                            self.count(1)?;
                            self.push(Frame::Branch { pc: *other, at })?;
                            pc += 1;
                        } else {
                            pc = *other;
                        }
                    }
                    Inst::Enter { set, other } => pc = if text.in_set(*set, at) { pc + 1 } else { *other },
                    Inst::Switch { table } => match text.subject.get(at) {
                        Some(&byte) => pc = program.tables[*table as usize][usize::from(byte)],
                        None => break 'failed,
                    },
                    Inst::BranchTo { first } => {
                        self.count(1)?;
                        self.push(Frame::Branch { pc: pc + 1, at })?;
                        pc = *first;
                    }
                    Inst::Jump { to } => pc = *to,
                    Inst::Save { slot } | Inst::RoundBegin { register: slot } => {
                        self.set(*slot, at)?;
                        pc += 1;
                    }
                    Inst::Close { group, from } => {
                        let start = self.scratch.slots[*from as usize];
                        self.set(2 * group, start)?;
                        self.set(2 * group + 1, at)?;
                        pc += 1;
                    }
                    Inst::RoundEnd { register, exit } => {
                        let empty = self.scratch.slots[*register as usize] == at;
                        pc = if empty { *exit } else { pc + 1 };
                    }
                    Inst::ClearRegister { register } => {
                        self.set(*register, UNSET)?;
                        pc += 1;
                    }
                    Inst::IfRegister { register, otherwise } => {
                        let set = self.scratch.slots[*register as usize] != UNSET;
                        pc = if set { pc + 1 } else { *otherwise };
                    }
                    Inst::Assert(assert) => {
                        if !text.holds(*assert, at) {
                            break 'failed;
                        }
                        pc += 1;
                    }
                    Inst::Keep => {
                        self.set(0, at)?;
                        pc += 1;
                    }
                    Inst::Backref { groups, caseless, unset_matches } => {
                        self.count(1)?;
                        match self.backref(groups, *caseless, *unset_matches, at) {
                            Some(after) => (pc, at) = (pc + 1, after),
                            None => break 'failed,
                        }
                    }
                    Inst::Newline => match text.newline(at) {
                        Some(after) => (pc, at) = (pc + 1, after),
                        None => break 'failed,
                    },
                    Inst::Grapheme { marks } => match text.grapheme(*marks, at) {
                        Some(after) => (pc, at) = (pc + 1, after),
                        None => break 'failed,
                    },
                    Inst::AtomicBegin => {
                        self.begin(Barrier::Atomic, 0, at)?;
                        pc += 1;
                    }
                    Inst::LookBegin => {
                        self.begin(Barrier::Look, 0, at)?;
                        pc += 1;
                    }
                    Inst::NegativeBegin { past } => {
                        self.begin(Barrier::Negative, *past, at)?;
                        pc += 1;
                    }
                    Inst::AtomicEnd => {
                        self.end();
                        pc += 1;
                    }
                    Inst::LookEnd => match self.end() {
                        Some(begun) => (pc, at) = (pc + 1, begun),
                        None => break 'failed,
                    },
                    Inst::NegativeEnd => {
                        // The inside matched, so the assertion fails: drop all that it did, its frame included.
                        let height = self.barrier as usize;
                        self.unwind(height);
                        break 'failed;
                    }
                    Inst::Back { count } => match text.back(at, *count as usize) {
                        Some(before) => (pc, at) = (pc + 1, before),
                        None => break 'failed,
                    },
                    Inst::Call { to, group } => {
                        self.call(pc + 1, *group, at)?;
                        pc = *to;
                    }
                    Inst::Return => match self.give_result() {
                        Some(back) => pc = back,
                        None => break 'failed,
                    },
                    Inst::IfGroup { groups, otherwise } => {
                        let set = groups.iter().any(|&group| self.scratch.slots[2 * group as usize + 1] != UNSET);
                        pc = if set { pc + 1 } else { *otherwise };
                    }
                    Inst::IfRecursion { groups, otherwise } => {
                        let inside = self.scratch.calls.last().is_some_and(|call| match groups {
                            None => true,
                            Some(groups) => groups.contains(&call.group),
                        });
                        pc = if inside { pc + 1 } else { *otherwise };
                    }
                    Inst::Verb(verb) => {
                        self.push(Frame::Verb { verb: *verb, at })?;
                        pc += 1;
                    }
                }
                continue 'run;
            }
            match self.fail()? {
                Ok(next) => (pc, at) = next,
                Err(outcome) => return Ok(outcome),
            }
        }
    }

    /// Goes back to the latest place with another way to go: where to go on, or how the attempt has ended.
    fn fail(&mut self) -> Result<Result<(u32, usize), Outcome>, MatchError> {
        while let Some(frame) = self.scratch.stack.pop() {
            match frame {
                Frame::Undo { slot, old } => self.scratch.slots[slot as usize] = old,
                Frame::Branch { pc, at } => return Ok(Ok((pc, at))),
                Frame::Greedy { pc, low, at } => {
                    let Inst::Greedy { what, next, .. } = self.text.program.code[pc as usize] else { continue };
                    let end = self.text.before(what, at);
                    if let Some(at) = self.give_back(pc, what, next, low, end)? {
                        return Ok(Ok((pc + 1, at)));
                    }
                }
                Frame::Lazy { pc, at, left } => {
                    let Inst::Lazy { what, next, .. } = self.text.program.code[pc as usize] else { continue };
                    if left == 0 {
                        continue;
                    }
                    if let Some(after) = self.text.one(what, at) {
                        let left = if left == INFINITE { INFINITE } else { left - 1 };
                        if let Some(at) = self.take_more(pc, what, next, after, left)? {
                            return Ok(Ok((pc + 1, at)));
                        }
                    }
                }
                Frame::Barrier { kind, past, at, outer } => {
                    self.barrier = outer;
                    if kind == Barrier::Negative {
                        return Ok(Ok((past, at)));
                    }
                }
                Frame::Call => self.drop_call(),
                Frame::Verb { verb, at } => {
                    // A verb reaches no further than the negative assertion or the call it stands in: that one fails.
                    let call = self.scratch.calls.last().map(|call| call.height);
                    match self.negative_assertion().max(call) {
                        Some(height) => self.unwind(height + 1),
                        None => {
                            self.unwind(0);
                            return Ok(Err(match verb {
                                _ if self.best.is_some() => self.best_match(),
                                Verb::Commit => Outcome::Stop,
                                Verb::Prune => Outcome::NoMatch,
                                Verb::Skip => Outcome::SkipTo(at),
                            }));
                        }
                    }
                }
            }
        }
        Ok(Err(if self.best.is_some() { self.best_match() } else { Outcome::NoMatch }))
    }

    fn best_match(&mut self) -> Outcome {
        let Scratch { slots, best, .. } = &mut *self.scratch;
        slots.clone_from(best);
        Outcome::Match
    }

    fn backref(&self, groups: &[u32], caseless: bool, unset_matches: bool, at: usize) -> Option<usize> {
        let slots = &self.scratch.slots;
        let spans = groups.iter().map(|&group| (slots[2 * group as usize], slots[2 * group as usize + 1]));
        match spans.into_iter().find(|&(_, end)| end != UNSET) {
            Some(span) => self.text.again(span, caseless, at),
            None => unset_matches.then_some(at),
        }
    }
}

/// Literals are short: comparing them here is cheaper than calling for it.
#[inline]
fn starts_with(text: &[u8], literal: &[u8]) -> bool {
    text.len() >= literal.len() && text.iter().zip(literal).all(|(a, b)| a == b)
}

const NONE: u32 = u32::MAX;
/// Frames on the stack, at most: 24 bytes each.
const MAX_STACK: usize = 4 << 20;
/// Frames whose memory is kept from one search to the next.
const KEPT_STACK: usize = 1 << 14;
