//! The backtracking machine.
//!
//! It runs a program forward and keeps, on a stack of its own, what to do when it cannot go on: places to take another
//! way (`Branch`, `Greedy`, `Lazy`), slots to restore (`Undo`), and marks of what was begun (`Barrier`, `Call`,
//! `Verb`). Failing pops frames until one names a way to go on.
//!
//! What must stay true:
//! - slots change only through `set`, which stacks the old value first, so that popping down to a frame restores the
//!   slots to what they were when it was pushed;
//! - `barrier` is the stack index of the innermost barrier that was begun and not ended; ending one removes the ways
//!   back inside it but keeps its undo frames, since the slots may still have to be restored from outside;
//! - every way back taken and every long scan is counted, so the work between two checks of the budget is bounded.

use super::MatchError;
use super::ast::{Assert, Verb};
use super::charset::{decode, step_back};
use super::program::{INFINITE, Inst, Program, Single, Start, UNSET};

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
enum Outcome {
    Match,
    NoMatch,
    /// No other starting point may be tried, or only those from here on.
    Stop,
    SkipTo(usize),
}

/// Finds the first match from `start` on. The slots are in `scratch` afterwards.
pub fn search(
    program: &Program,
    subject: &[u8],
    start: usize,
    anchored: bool,
    longest: bool,
    scratch: &mut Scratch,
    limit: u64,
) -> Result<bool, MatchError> {
    let found = search_with(program, subject, start, anchored, longest, scratch, limit);
    // What one hard search needed is not kept for the many easy ones.
    scratch.stack.clear();
    scratch.stack.shrink_to(KEPT_STACK);
    scratch.saved.clear();
    scratch.saved.shrink_to(KEPT_STACK);
    found
}

fn search_with(
    program: &Program,
    subject: &[u8],
    start: usize,
    anchored: bool,
    longest: bool,
    scratch: &mut Scratch,
    limit: u64,
) -> Result<bool, MatchError> {
    scratch.steps = 0;
    scratch.slots.clear();
    scratch.slots.resize(program.slots, UNSET);
    scratch.stack.clear();
    scratch.calls.clear();
    scratch.saved.clear();
    let total = limit.saturating_mul(ATTEMPTS).saturating_add(subject.len() as u64);
    let last_required = match program.required {
        Some(byte) => match memchr::memrchr(byte, &subject[start..]) {
            Some(at) => Some(start + at),
            None => return Ok(false),
        },
        None => None,
    };
    let mut machine =
        Machine { program, subject, from: start, longest, scratch, barrier: NONE, attempt_end: 0, best: None };
    let mut at = start;
    loop {
        let Some(candidate) = machine.candidate(at, anchored) else { return Ok(false) };
        if last_required.is_some_and(|last| last < candidate) {
            return Ok(false);
        }
        let attempt = machine.scratch.steps.saturating_add(limit);
        machine.attempt_end = attempt.min(total);
        match machine.attempt(candidate)? {
            Outcome::Match => return Ok(true),
            Outcome::Stop => return Ok(false),
            Outcome::SkipTo(next) if next > candidate => at = next,
            Outcome::NoMatch | Outcome::SkipTo(_) => {
                at = if candidate < subject.len() { candidate + machine.char_len(candidate) } else { candidate + 1 };
            }
        }
        if anchored || at > subject.len() {
            return Ok(false);
        }
        machine.scratch.steps += 1;
    }
}

struct Machine<'m> {
    program: &'m Program,
    subject: &'m [u8],
    /// Where the search started: `\G`.
    from: usize,
    longest: bool,
    scratch: &'m mut Scratch,
    barrier: u32,
    attempt_end: u64,
    /// The longest end so far, when looking for the longest match.
    best: Option<usize>,
}

impl Machine<'_> {
    /// The first place from `at` on where a match can start.
    fn candidate(&self, at: usize, anchored: bool) -> Option<usize> {
        let rest = &self.subject[at..];
        if anchored {
            return Some(at);
        }
        match &self.program.start {
            Start::Anywhere => Some(at),
            Start::Anchored => (at == 0).then_some(0),
            Start::Lines if at == 0 || self.subject[at - 1] == b'\n' => Some(at),
            Start::Lines => {
                // Behind a newline at the subject's very end no line starts.
                let line = at + memchr::memchr(b'\n', rest)? + 1;
                (line < self.subject.len()).then_some(line)
            }
            Start::First => (at == self.from).then_some(at),
            Start::FirstAndLines if at == self.from || self.subject[at - 1] == b'\n' => Some(at),
            Start::FirstAndLines => Some(at + memchr::memchr(b'\n', rest)? + 1),
            Start::Literal(finder) => finder.find(rest).map(|found| at + found),
            Start::Few([a, b, c]) => memchr::memchr3(*a, *b, *c, rest).map(|found| at + found),
            Start::Bytes(table) => rest.iter().position(|&byte| table[usize::from(byte)]).map(|found| at + found),
        }
    }

    fn char_len(&self, at: usize) -> usize {
        if self.program.utf { decode(self.subject, at).1 } else { 1 }
    }

    fn set(&mut self, slot: u32, value: usize) -> Result<(), MatchError> {
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

    fn attempt(&mut self, start: usize) -> Result<Outcome, MatchError> {
        // A failed attempt has undone all it did, so the slots are as they were before the first one.
        debug_assert!(self.scratch.stack.is_empty() && self.scratch.slots[1..].iter().all(|&slot| slot == UNSET));
        self.scratch.slots[0] = start;
        let (mut pc, mut at) = (0, start);
        let program = self.program;
        loop {
            let next = match &program.code[pc as usize] {
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
                    None
                }
                Inst::Fail => None,
                Inst::One(what) => self.one(*what, at).map(|after| (pc + 1, after)),
                Inst::Literal { at: from, len } => {
                    let literal = &program.literals[*from as usize..(*from + *len) as usize];
                    self.subject[at..].starts_with(literal).then(|| (pc + 1, at + literal.len()))
                }
                Inst::LiteralCaseless { at: from, len } => {
                    let literal = &program.literals[*from as usize..(*from + *len) as usize];
                    let text = self.subject.get(at..at + literal.len());
                    text.is_some_and(|text| text.eq_ignore_ascii_case(literal)).then(|| (pc + 1, at + literal.len()))
                }
                Inst::Greedy { what, min, max, next } => {
                    let (low, end) = self.repeat(*what, at, *min, *max)?;
                    match low {
                        None => None,
                        Some(low) if low == end => Some((pc + 1, end)),
                        Some(low) => self.give_back(pc, low, end, *next)?.map(|at| (pc + 1, at)),
                    }
                }
                Inst::Possessive { what, min, max } => {
                    let (low, end) = self.repeat(*what, at, *min, *max)?;
                    low.map(|_| (pc + 1, end))
                }
                Inst::Lazy { what, min, max } => match self.repeat(*what, at, *min, *min)? {
                    (None, _) => None,
                    (Some(_), end) => {
                        let left = if *max == INFINITE { INFINITE } else { max - min };
                        self.push(Frame::Lazy { pc, at: end, left })?;
                        Some((pc + 1, end))
                    }
                },
                Inst::Branch { other } => {
                    self.count(1)?;
                    self.push(Frame::Branch { pc: *other, at })?;
                    Some((pc + 1, at))
                }
                Inst::BranchIf { set, other } => {
                    let table = &program.sets[*set as usize].bytes;
                    if self.subject.get(at).is_some_and(|&byte| table[usize::from(byte)]) {
                        self.count(1)?;
                        self.push(Frame::Branch { pc: *other, at })?;
                        Some((pc + 1, at))
                    } else {
                        Some((*other, at))
                    }
                }
                Inst::BranchTo { first } => {
                    self.count(1)?;
                    self.push(Frame::Branch { pc: pc + 1, at })?;
                    Some((*first, at))
                }
                Inst::Jump { to } => Some((*to, at)),
                Inst::Save { slot } | Inst::RoundBegin { register: slot } => {
                    self.set(*slot, at)?;
                    Some((pc + 1, at))
                }
                Inst::Close { group, from } => {
                    let start = self.scratch.slots[*from as usize];
                    self.set(2 * group, start)?;
                    self.set(2 * group + 1, at)?;
                    Some((pc + 1, at))
                }
                Inst::RoundEnd { register, exit } => {
                    let empty = self.scratch.slots[*register as usize] == at;
                    Some((if empty { *exit } else { pc + 1 }, at))
                }
                Inst::ClearRegister { register } => {
                    self.set(*register, UNSET)?;
                    Some((pc + 1, at))
                }
                Inst::IfRegister { register, otherwise } => {
                    let set = self.scratch.slots[*register as usize] != UNSET;
                    Some((if set { pc + 1 } else { *otherwise }, at))
                }
                Inst::Assert(assert) => self.holds(*assert, at).then_some((pc + 1, at)),
                Inst::Keep => {
                    self.set(0, at)?;
                    Some((pc + 1, at))
                }
                Inst::Backref { groups, caseless, unset_matches } => {
                    self.count(1)?;
                    self.backref(groups, *caseless, *unset_matches, at).map(|after| (pc + 1, after))
                }
                Inst::Newline => self.newline(at).map(|after| (pc + 1, after)),
                Inst::Grapheme { marks } => self.grapheme(*marks, at).map(|after| (pc + 1, after)),
                Inst::AtomicBegin => {
                    self.begin(Barrier::Atomic, 0, at)?;
                    Some((pc + 1, at))
                }
                Inst::LookBegin => {
                    self.begin(Barrier::Look, 0, at)?;
                    Some((pc + 1, at))
                }
                Inst::NegativeBegin { past } => {
                    self.begin(Barrier::Negative, *past, at)?;
                    Some((pc + 1, at))
                }
                Inst::AtomicEnd => {
                    self.end();
                    Some((pc + 1, at))
                }
                Inst::LookEnd => self.end().map(|begun| (pc + 1, begun)),
                Inst::NegativeEnd => {
                    // The inside matched, so the assertion fails: drop all that it did, its frame included.
                    let height = self.barrier as usize;
                    self.unwind(height);
                    None
                }
                Inst::Back { count } => self.back(at, *count as usize).map(|before| (pc + 1, before)),
                Inst::Call { to, group } => {
                    self.call(pc + 1, *group, at)?;
                    Some((*to, at))
                }
                Inst::Return => self.scratch.calls.pop().map(|call| {
                    self.scratch.stack.truncate(call.height);
                    let from = self.scratch.saved.len() - self.program.slots;
                    let Scratch { slots, saved, .. } = &mut *self.scratch;
                    slots.copy_from_slice(&saved[from..]);
                    saved.truncate(from);
                    (call.back, at)
                }),
                Inst::IfGroup { groups, otherwise } => {
                    let set = groups.iter().any(|&group| self.scratch.slots[2 * group as usize + 1] != UNSET);
                    Some((if set { pc + 1 } else { *otherwise }, at))
                }
                Inst::IfRecursion { groups, otherwise } => {
                    let inside = self.scratch.calls.last().is_some_and(|call| match groups {
                        None => true,
                        Some(groups) => groups.contains(&call.group),
                    });
                    Some((if inside { pc + 1 } else { *otherwise }, at))
                }
                Inst::Verb(verb) => {
                    self.push(Frame::Verb { verb: *verb, at })?;
                    Some((pc + 1, at))
                }
            };
            (pc, at) = match next {
                Some(next) => next,
                None => match self.fail()? {
                    Ok(next) => next,
                    Err(outcome) => return Ok(outcome),
                },
            };
        }
    }

    /// Goes back to the latest place with another way to go: where to go on, or how the attempt has ended.
    fn fail(&mut self) -> Result<Result<(u32, usize), Outcome>, MatchError> {
        while let Some(frame) = self.scratch.stack.pop() {
            match frame {
                Frame::Undo { slot, old } => self.scratch.slots[slot as usize] = old,
                Frame::Branch { pc, at } => return Ok(Ok((pc, at))),
                Frame::Greedy { pc, low, at } => {
                    let Inst::Greedy { what, next, .. } = self.program.code[pc as usize] else { continue };
                    let end = self.before(what, at);
                    if end == low {
                        self.count(1)?;
                        return Ok(Ok((pc + 1, end)));
                    }
                    if let Some(at) = self.give_back(pc, low, end, next)? {
                        return Ok(Ok((pc + 1, at)));
                    }
                }
                Frame::Lazy { pc, at, left } => {
                    let Inst::Lazy { what, .. } = self.program.code[pc as usize] else { continue };
                    self.count(1)?;
                    if left == 0 {
                        continue;
                    }
                    if let Some(after) = self.one(what, at) {
                        let left = if left == INFINITE { INFINITE } else { left - 1 };
                        self.scratch.stack.push(Frame::Lazy { pc, at: after, left });
                        return Ok(Ok((pc + 1, after)));
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

    /// Whether a greedy repetition that reaches from `low` to `end` can go on somewhere there: as far to the right as
    /// possible, and where `next` stands if that is known. Leaves a frame for the places further left.
    fn give_back(&mut self, pc: u32, low: usize, end: usize, next: Option<u8>) -> Result<Option<usize>, MatchError> {
        self.count(1)?;
        let mut at = end;
        if let Some(byte) = next {
            let reach = self.subject.len().min(end + 1);
            match memchr::memrchr(byte, &self.subject[low..reach]) {
                Some(found) => at = low + found,
                None => return Ok(None),
            }
            self.count((end - at) as u64 >> SCAN)?;
        }
        if at > low {
            self.push(Frame::Greedy { pc, low, at })?;
        }
        Ok(Some(at))
    }

    fn is_wide(&self, what: Single) -> bool {
        matches!(what, Single::WideAny | Single::WideNotNewline | Single::WideSet(_))
    }

    /// The place one character before `at`.
    fn before(&self, what: Single, at: usize) -> usize {
        if self.is_wide(what) { step_back(self.subject, at) } else { at - 1 }
    }

    /// Matches one character: the place behind it.
    #[inline]
    fn one(&self, what: Single, at: usize) -> Option<usize> {
        let byte = *self.subject.get(at)?;
        let matches = match what {
            Single::Byte(wanted) => byte == wanted,
            Single::Letter(wanted) => byte | 0x20 == wanted,
            Single::NotNewline => byte != b'\n',
            Single::AnyByte => true,
            Single::Set(set) => self.program.sets[set as usize].bytes[usize::from(byte)],
            Single::WideNotNewline | Single::WideAny | Single::WideSet(_) => return self.one_wide(what, at),
        };
        matches.then_some(at + 1)
    }

    fn one_wide(&self, what: Single, at: usize) -> Option<usize> {
        if let Single::WideSet(set) = what {
            let (char, len) = decode(self.subject, at);
            return self.program.sets[set as usize].has(char).then_some(at + len);
        }
        if what == Single::WideNotNewline && self.subject[at] == b'\n' {
            return None;
        }
        // From inside a character, where `\C` may have left us, this goes to its end.
        let rest = &self.subject[at + 1..];
        Some(at + 1 + rest.iter().take_while(|&&byte| byte & 0xc0 == 0x80).count())
    }

    /// Matches as many characters as possible, `max` at most: the place behind the first `min` (`None` if there are
    /// fewer) and the place behind all.
    fn repeat(&mut self, what: Single, at: usize, min: u32, max: u32) -> Result<(Option<usize>, usize), MatchError> {
        let (low, end) = self.scan(what, at, min as usize, max);
        self.count((end - at) as u64 >> SCAN)?;
        Ok((low, end))
    }

    fn scan(&self, what: Single, at: usize, min: usize, max: u32) -> (Option<usize>, usize) {
        let subject = self.subject;
        let most = if max == INFINITE { usize::MAX } else { max as usize };
        let rest = &subject[at..];
        let room = &rest[..rest.len().min(most)];
        let run = |test: &dyn Fn(u8) -> bool| room.iter().position(|&byte| !test(byte)).unwrap_or(room.len());
        let length = match what {
            Single::Byte(wanted) => room.iter().position(|&byte| byte != wanted).unwrap_or(room.len()),
            Single::Letter(wanted) => run(&|byte| byte | 0x20 == wanted),
            Single::NotNewline => memchr::memchr(b'\n', room).unwrap_or(room.len()),
            Single::AnyByte => room.len(),
            Single::Set(set) => {
                let table = &self.program.sets[set as usize].bytes;
                room.iter().position(|&byte| !table[usize::from(byte)]).unwrap_or(room.len())
            }
            Single::WideNotNewline | Single::WideAny | Single::WideSet(_) => {
                return self.scan_wide(what, at, min, most);
            }
        };
        ((length >= min).then_some(at + min), at + length)
    }

    fn scan_wide(&self, what: Single, start: usize, min: usize, most: usize) -> (Option<usize>, usize) {
        let mut low = (min == 0).then_some(start);
        let (mut at, mut count) = (start, 0);
        while count < most {
            let Some(after) = self.one(what, at) else { break };
            at = after;
            count += 1;
            if count == min {
                low = Some(at);
            }
        }
        (low, at)
    }

    fn is_word(&self, at: usize) -> bool {
        self.subject.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    }

    fn holds(&self, assert: Assert, at: usize) -> bool {
        let end = self.subject.len();
        match assert {
            Assert::Start => at == 0,
            // Behind a newline that ends the subject no line starts.
            Assert::LineStart => at == 0 || (at < end && self.subject[at - 1] == b'\n'),
            Assert::End => at == end,
            Assert::EndOrNewline => at == end || (at + 1 == end && self.subject[at] == b'\n'),
            Assert::LineEnd => at == end || self.subject[at] == b'\n',
            Assert::From => at == self.from,
            Assert::WordBoundary | Assert::NotWordBoundary => {
                let before = at > 0 && self.is_word(at - 1);
                (before != self.is_word(at)) == (assert == Assert::WordBoundary)
            }
        }
    }

    fn newline(&self, at: usize) -> Option<usize> {
        match &self.subject[at..] {
            [b'\r', b'\n', ..] => Some(at + 2),
            [b'\n'..=b'\r', ..] => Some(at + 1),
            [0x85, ..] if !self.program.utf => Some(at + 1),
            [0xc2, 0x85, ..] if self.program.utf => Some(at + 2),
            [0xe2, 0x80, 0xa8 | 0xa9, ..] if self.program.utf => Some(at + 3),
            _ => None,
        }
    }

    /// A character with the marks on it. This is the simple half of Unicode's grapheme clusters: no Hangul syllables,
    /// no flags.
    fn grapheme(&self, marks: u32, at: usize) -> Option<usize> {
        if self.subject[at..].starts_with(b"\r\n") {
            return Some(at + 2);
        }
        let mut after = self.one(if self.program.utf { Single::WideAny } else { Single::AnyByte }, at)?;
        if self.program.utf {
            while let Some(more) = self.one(Single::WideSet(marks), after) {
                after = more;
            }
        }
        Some(after)
    }

    fn backref(&self, groups: &[u32], caseless: bool, unset_matches: bool, at: usize) -> Option<usize> {
        let slots = &self.scratch.slots;
        let spans = groups.iter().map(|&group| (slots[2 * group as usize], slots[2 * group as usize + 1]));
        let Some((start, end)) = spans.into_iter().find(|&(_, end)| end != UNSET) else {
            return unset_matches.then_some(at);
        };
        let text = self.subject.get(start..end)?;
        let here = &self.subject[at..];
        if !caseless {
            return here.starts_with(text).then_some(at + text.len());
        }
        if !self.program.utf {
            let same = here.get(..text.len())?.eq_ignore_ascii_case(text);
            return same.then_some(at + text.len());
        }
        let (mut one, mut other) = (start, at);
        while one < end {
            if other >= self.subject.len() {
                return None;
            }
            let ((a, a_len), (b, b_len)) = (decode(self.subject, one), decode(self.subject, other));
            if !same_letter(a, b) {
                return None;
            }
            (one, other) = (one + a_len, other + b_len);
        }
        Some(other)
    }

    fn back(&self, at: usize, count: usize) -> Option<usize> {
        if !self.program.utf {
            return at.checked_sub(count);
        }
        (0..count).try_fold(at, |at, _| (at > 0).then(|| step_back(self.subject, at)))
    }

    fn begin(&mut self, kind: Barrier, past: u32, at: usize) -> Result<(), MatchError> {
        let outer = self.barrier;
        self.barrier = self.scratch.stack.len() as u32;
        self.push(Frame::Barrier { kind, past, at, outer })
    }

    /// Ends the innermost barrier: forgets the ways back inside it, keeps what restores slots. Where it began.
    fn end(&mut self) -> Option<usize> {
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
    fn unwind(&mut self, height: usize) {
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
    fn negative_assertion(&self) -> Option<usize> {
        let mut at = self.barrier;
        while let Some(Frame::Barrier { kind, outer, .. }) = self.scratch.stack.get(at as usize) {
            if *kind == Barrier::Negative {
                return Some(at as usize);
            }
            at = *outer;
        }
        None
    }

    fn call(&mut self, back: u32, group: u32, at: usize) -> Result<(), MatchError> {
        self.count(1)?;
        let again = self.scratch.calls.iter().rev().take_while(|call| call.at == at).any(|call| call.group == group);
        if again {
            return Err(MatchError::RecursionLoop);
        }
        let height = self.scratch.stack.len();
        let slots = self.program.slots;
        if self.scratch.calls.len() >= MAX_CALLS || self.scratch.saved.len() + slots > MAX_SAVED {
            return Err(MatchError::StackExceeded);
        }
        self.push(Frame::Call)?;
        self.scratch.calls.push(CallFrame { back, group, at, height });
        let Scratch { slots, saved, .. } = &mut *self.scratch;
        saved.extend_from_slice(slots);
        Ok(())
    }

    /// Undoes a call that was not returned from.
    fn drop_call(&mut self) {
        self.scratch.calls.pop();
        let kept = self.scratch.saved.len().saturating_sub(self.program.slots);
        self.scratch.saved.truncate(kept);
    }
}

fn same_letter(a: u32, b: u32) -> bool {
    if a == b {
        return true;
    }
    let (Some(a), Some(b)) = (char::from_u32(a), char::from_u32(b)) else { return false };
    a.to_lowercase().eq(b.to_lowercase()) || a.to_uppercase().eq(b.to_uppercase())
}

const NONE: u32 = u32::MAX;
/// A scan of this many bytes (as a power of two) costs a step.
const SCAN: u32 = 8;
/// Frames on the stack, at most: 24 bytes each.
const MAX_STACK: usize = 4 << 20;
/// Frames whose memory is kept from one search to the next.
const KEPT_STACK: usize = 1 << 14;
const MAX_CALLS: usize = 100_000;
const MAX_SAVED: usize = 4 << 20;
/// The budget of a whole search, in budgets of one attempt.
const ATTEMPTS: u64 = 10;
