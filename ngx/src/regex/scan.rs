//! Reading the subject: single characters, runs of them, assertions about a place. Nothing here backtracks.

use super::ast::Assert;
use super::charset::{decode, step_back};
use super::program::{INFINITE, Next, Program, Single};

/// A subject under a program's eyes.
#[derive(Clone, Copy)]
pub struct Text<'m> {
    pub program: &'m Program,
    pub subject: &'m [u8],
    /// Where the search started: `\G`.
    pub from: usize,
}

impl Text<'_> {
    pub fn char_len(&self, at: usize) -> usize {
        if self.program.utf { decode(self.subject, at).1 } else { 1 }
    }

    /// The place one character before `at`.
    pub fn before(&self, what: Single, at: usize) -> usize {
        if what.is_wide() { step_back(self.subject, at) } else { at - 1 }
    }

    /// Whether the byte at `at` is in the set (a table of bytes).
    #[inline(always)]
    pub fn in_set(&self, set: u32, at: usize) -> bool {
        self.subject.get(at).is_some_and(|&byte| self.program.sets[set as usize].bytes[usize::from(byte)])
    }

    /// Matches one character: the place behind it.
    #[inline(always)]
    pub fn one(&self, what: Single, at: usize) -> Option<usize> {
        let byte = *self.subject.get(at)?;
        let matches = match what {
            Single::Byte(wanted) => byte == wanted,
            Single::Set(set) => self.program.sets[set as usize].bytes[usize::from(byte)],
            Single::Letter(wanted) => byte | 0x20 == wanted,
            Single::NotNewline => byte != b'\n',
            Single::AnyByte => true,
            Single::Not(few) => byte != few[0] && byte != few[1] && byte != few[2],
            Single::WideNotNewline | Single::WideAny | Single::WideSet(_) => return self.one_wide(what, at),
        };
        matches.then_some(at + 1)
    }

    #[inline(never)]
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

    /// The longest run of characters from `at` on, `max` at most: the place behind the first `min` (`None` if there
    /// are fewer) and the place behind all.
    #[inline(always)]
    pub fn run(&self, what: Single, at: usize, min: u32, max: u32) -> (Option<usize>, usize) {
        let Single::Set(set) = what else { return self.run_other(what, at, min, max) };
        let table = &self.program.sets[set as usize].bytes;
        let most = if max == INFINITE { usize::MAX } else { max as usize };
        let end = self.subject.len().min(at.saturating_add(most));
        let mut here = at;
        while here < end && table[usize::from(self.subject[here])] {
            here += 1;
        }
        ((here - at >= min as usize).then_some(at + min as usize), here)
    }

    #[inline(never)]
    fn run_other(&self, what: Single, at: usize, min: u32, max: u32) -> (Option<usize>, usize) {
        let most = if max == INFINITE { usize::MAX } else { max as usize };
        let rest = &self.subject[at..];
        let room = &rest[..rest.len().min(most)];
        let length = match what {
            Single::Byte(wanted) => until(room, |byte| byte != wanted),
            Single::Letter(wanted) => until(room, |byte| byte | 0x20 != wanted),
            Single::NotNewline => memchr::memchr(b'\n', room).unwrap_or(room.len()),
            Single::AnyByte => room.len(),
            Single::Not(few) => find_few(few, room).unwrap_or(room.len()),
            _ => return self.run_wide(what, at, min as usize, most),
        };
        ((length >= min as usize).then_some(at + min as usize), at + length)
    }

    fn run_wide(&self, what: Single, start: usize, min: usize, most: usize) -> (Option<usize>, usize) {
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

    /// Whether what must follow can stand at `at`.
    #[inline]
    pub fn may_follow(&self, next: Next, at: usize) -> bool {
        match next {
            Next::Unknown => true,
            Next::Byte(byte) => self.subject.get(at) == Some(&byte),
            Next::Set { set, end } => self.in_set(set, at) || end && at >= self.subject.len(),
        }
    }

    /// The last place between `low` and `end` where what must follow can stand.
    pub fn last_follower(&self, what: Single, next: Next, low: usize, end: usize) -> Option<usize> {
        match next {
            Next::Unknown => Some(end),
            Next::Byte(byte) => {
                let reach = self.subject.len().min(end + 1);
                memchr::memrchr(byte, &self.subject[low..reach]).map(|found| low + found)
            }
            Next::Set { .. } => {
                let mut at = end;
                while !self.may_follow(next, at) {
                    if at <= low {
                        return None;
                    }
                    at = self.before(what, at);
                }
                Some(at)
            }
        }
    }

    fn is_word(&self, at: usize) -> bool {
        self.subject.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    }

    pub fn holds(&self, assert: Assert, at: usize) -> bool {
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

    pub fn newline(&self, at: usize) -> Option<usize> {
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
    pub fn grapheme(&self, marks: u32, at: usize) -> Option<usize> {
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

    /// The text between `start` and `end` again, at `at`: the place behind it.
    pub fn again(&self, (start, end): (usize, usize), caseless: bool, at: usize) -> Option<usize> {
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

    /// `count` characters back.
    pub fn back(&self, at: usize, count: usize) -> Option<usize> {
        if !self.program.utf {
            return at.checked_sub(count);
        }
        (0..count).try_fold(at, |at, _| (at > 0).then(|| step_back(self.subject, at)))
    }
}

/// How many bytes come before the first that passes the test.
#[inline]
fn until(text: &[u8], test: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|&byte| test(byte)).unwrap_or(text.len())
}

/// The first of up to three bytes (some twice if fewer). Most runs are short: a look at the first few bytes comes
/// cheaper than setting up a wide search.
#[inline]
fn find_few([a, b, c]: [u8; 3], text: &[u8]) -> Option<usize> {
    let near = text.len().min(NEAR);
    if let Some(found) = text[..near].iter().position(|&byte| byte == a || byte == b || byte == c) {
        return Some(found);
    }
    memchr::memchr3(a, b, c, &text[near..]).map(|found| near + found)
}

fn same_letter(a: u32, b: u32) -> bool {
    if a == b {
        return true;
    }
    let (Some(a), Some(b)) = (char::from_u32(a), char::from_u32(b)) else { return false };
    a.to_lowercase().eq(b.to_lowercase()) || a.to_uppercase().eq(b.to_uppercase())
}

const NEAR: usize = 12;
