//! Repetitions of one character: how far they reach, and where what follows can go on.
use super::super::MatchError;
use super::super::program::{INFINITE, Next, Single};
use super::{Frame, Machine};

impl Machine<'_> {
    /// A run of characters, counted.
    #[inline]
    pub(super) fn repeat(
        &mut self,
        what: Single,
        at: usize,
        min: u32,
        max: u32,
    ) -> Result<(Option<usize>, usize), MatchError> {
        let (low, end) = self.text.run(what, at, min, max);
        self.count((end - at) as u64 >> SCAN)?;
        Ok((low, end))
    }

    /// Where a greedy repetition that reaches from `low` to `end` can go on: as far to the right as possible, where
    /// what must follow stands. Leaves a frame for the places further left.
    pub(super) fn give_back(
        &mut self,
        pc: u32,
        what: Single,
        next: Next,
        low: usize,
        end: usize,
    ) -> Result<Option<usize>, MatchError> {
        let Some(at) = self.text.last_follower(what, next, low, end) else {
            self.count(1 + ((end - low) as u64 >> SCAN))?;
            return Ok(None);
        };
        self.count(1 + ((end - at) as u64 >> SCAN))?;
        if at > low {
            self.push(Frame::Greedy { pc, low, at })?;
        }
        Ok(Some(at))
    }

    /// Where a lazy repetition that has come to `at`, and can take `left` characters more, can go on: as soon as
    /// possible, where what must follow stands. Leaves a frame for the places further right.
    pub(super) fn take_more(
        &mut self,
        pc: u32,
        what: Single,
        next: Next,
        mut at: usize,
        mut left: u32,
    ) -> Result<Option<usize>, MatchError> {
        let start = at;
        if let (Next::Byte(byte), INFINITE) = (next, left) {
            // One search finds either what must follow or what the repetition stops at.
            let rest = &self.text.subject[at..];
            let found = match what {
                Single::AnyByte | Single::WideAny => memchr::memchr(byte, rest),
                Single::NotNewline | Single::WideNotNewline => memchr::memchr2(byte, b'\n', rest),
                Single::Not([a, b, c]) if a == b => memchr::memchr3(byte, a, c, rest),
                _ => Some(0),
            };
            match found {
                Some(found) => at += found,
                None => {
                    self.count(1 + (rest.len() as u64 >> SCAN))?;
                    return Ok(None);
                }
            }
        }
        while !self.text.may_follow(next, at) {
            let after = if left == 0 { None } else { self.text.one(what, at) };
            let Some(after) = after else {
                self.count(1 + ((at - start) as u64 >> SCAN))?;
                return Ok(None);
            };
            at = after;
            if left != INFINITE {
                left -= 1;
            }
        }
        self.count(1 + ((at - start) as u64 >> SCAN))?;
        if left > 0 {
            self.push(Frame::Lazy { pc, at, left })?;
        }
        Ok(Some(at))
    }
}

/// A scan of this many bytes (as a power of two) costs a step.
const SCAN: u32 = 8;
