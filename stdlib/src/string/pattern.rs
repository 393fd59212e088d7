//! Lua patterns (Lua 5.1 manual 5.4.1, with %g and %f): the matcher.
//!
//! Recursion is counted, and so are the steps: a pattern that backtracks for ever ends with "pattern too complex" instead of
//! holding the worker.
use smallvec::SmallVec;

/// As LuaJIT: more captures are an error.
const MAX_CAPTURES: usize = 32;
/// Nested matching (captures, repetitions that are tried longest first).
const MAX_DEPTH: usize = 200;
/// Steps of one match; about a second's work.
const MAX_STEPS: u64 = 100_000_000;

const ESCAPE: u8 = b'%';
/// A set of more bytes is turned into a table before many characters are held against it.
const LONG_SET: usize = 64;
const UNCLOSED: isize = -1;
const POSITION: isize = -2;

/// What a capture gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture<'s> {
    Text(&'s [u8]),
    /// `()`: a position, counting from 1.
    Position(usize),
}

pub struct Matcher<'s, 'p> {
    src: &'s [u8],
    pat: &'p [u8],
    /// Where each begins, and its length or one of the marks.
    captures: SmallVec<[(usize, isize); 6]>,
    depth: usize,
    /// Work done so far: to be charged.
    pub steps: u64,
    /// Why there is no match and none will be looked for any more.
    error: Option<&'static str>,
}

/// The end of the match. (An error is none, with `Matcher::error` set: two registers to return instead of memory.)
type Match = Option<usize>;

/// What one character of the subject is held against.
#[derive(Clone, Copy)]
enum Single<'p> {
    Any,
    Byte(u8),
    /// Bits of `CLASSES`, or their complement.
    Class(u16, bool),
    Set(&'p [u8]),
}

impl Single<'_> {
    #[inline(always)]
    fn fits(self, c: u8) -> bool {
        match self {
            Single::Any => true,
            Single::Byte(b) => b == c,
            Single::Class(mask, not) => (CLASSES[usize::from(c)] & mask != 0) != not,
            Single::Set(inside) => set(c, inside),
        }
    }
}

impl<'s, 'p> Matcher<'s, 'p> {
    /// `pat` without its anchor.
    pub fn new(src: &'s [u8], pat: &'p [u8]) -> Matcher<'s, 'p> {
        Matcher { src, pat, captures: SmallVec::new(), depth: 0, steps: 0, error: None }
    }

    /// The first match at or after `from` (just there, if `anchored`): where it begins and ends.
    pub fn find(&mut self, from: usize, anchored: bool) -> Result<Option<(usize, usize)>, &'static str> {
        let first = if anchored { None } else { self.first() };
        let mut at = from;
        while at <= self.src.len() {
            if let Some(first) = first {
                // Only where its first character fits can the pattern match.
                let rest = &self.src[at..];
                let skip = match first {
                    Single::Byte(b) => memchr::memchr(b, rest),
                    Single::Set(inside) if inside.len() > LONG_SET => {
                        let members = self.members(inside);
                        rest.iter().position(|c| members[usize::from(*c)])
                    }
                    _ => rest.iter().position(|c| first.fits(*c)),
                };
                self.steps += skip.unwrap_or(rest.len()) as u64 / 8;
                match skip {
                    Some(skip) => at += skip,
                    None => return Ok(None),
                }
            }
            self.captures.clear();
            self.depth = 0;
            if let Some(end) = self.go(at, 0) {
                return Ok(Some((at, end)));
            }
            if let Some(error) = self.error {
                return Err(error);
            }
            if anchored {
                break;
            }
            at += 1;
        }
        Ok(None)
    }

    /// What every match begins with, if that is one character of a kind.
    fn first(&mut self) -> Option<Single<'p>> {
        let mut p = 0;
        while self.pat_at(p) == Some(b'(') && self.pat_at(p + 1) != Some(b')') {
            p += 1;
        }
        self.required(p)
    }

    /// The character that has to come next for the pattern from `p` on, where that is plain to see.
    fn required(&mut self, p: usize) -> Option<Single<'p>> {
        match self.pat_at(p)? {
            b'(' | b')' => return None,
            b'$' if p + 1 == self.pat.len() => return None,
            ESCAPE => match self.pat_at(p + 1)? {
                b'b' | b'f' | b'0'..=b'9' => return None,
                _ => {}
            },
            _ => {}
        }
        let ep = self.class_end(p);
        // (a malformed pattern is found out by the match itself)
        if self.error.take().is_some() || matches!(self.pat_at(ep), Some(b'*' | b'?' | b'-')) {
            return None;
        }
        Some(self.item(p, ep))
    }

    /// How many captures there are, the whole match counting as one if there is none and `whole`.
    pub fn count(&self, whole: bool) -> usize {
        if self.captures.is_empty() && whole { 1 } else { self.captures.len() }
    }

    /// The i-th capture of a match from `start` to `end`; without captures, the whole match is the first.
    pub fn capture(&self, i: usize, start: usize, end: usize) -> Result<Capture<'s>, &'static str> {
        if i >= self.captures.len() {
            return if i == 0 { Ok(Capture::Text(&self.src[start..end])) } else { Err("invalid capture index") };
        }
        match self.captures[i] {
            (_, UNCLOSED) => Err("unfinished capture"),
            (at, POSITION) => Ok(Capture::Position(at + 1)),
            (at, len) => Ok(Capture::Text(&self.src[at..at + len as usize])),
        }
    }

    fn pat_at(&self, p: usize) -> Option<u8> {
        self.pat.get(p).copied()
    }

    #[cold]
    fn fail<T: Default>(&mut self, error: &'static str) -> T {
        self.error = Some(error);
        T::default()
    }

    /// The index behind the single-character class that begins at `p`.
    #[inline(always)]
    fn class_end(&mut self, p: usize) -> usize {
        match self.pat[p] {
            ESCAPE if p + 1 >= self.pat.len() => self.fail("malformed pattern (ends with '%')"),
            ESCAPE => p + 2,
            b'[' => {
                let end = self.set_end(p + 1);
                // (to read it, and to hold a character against it)
                self.steps += (end.saturating_sub(p) / 8) as u64;
                end
            }
            _ => p + 1,
        }
    }

    fn set_end(&mut self, mut p: usize) -> usize {
        if self.pat_at(p) == Some(b'^') {
            p += 1;
        }
        // A ] right at the beginning is an ordinary character.
        loop {
            let Some(c) = self.pat_at(p) else { return self.fail("malformed pattern (missing ']')") };
            p += 1;
            if c == ESCAPE {
                if p >= self.pat.len() {
                    return self.fail("malformed pattern (missing ']')");
                }
                p += 1;
            }
            if self.pat_at(p) == Some(b']') {
                return p + 1;
            }
        }
    }

    /// The single character between `p` and `ep`.
    #[inline(always)]
    fn item(&self, p: usize, ep: usize) -> Single<'p> {
        match self.pat[p] {
            b'.' => Single::Any,
            ESCAPE => {
                let letter = self.pat[p + 1];
                match LETTERS[usize::from(letter)] {
                    0 => Single::Byte(letter),
                    mask => Single::Class(mask, letter.is_ascii_uppercase()),
                }
            }
            b'[' => Single::Set(&self.pat[p + 1..ep - 1]),
            other => Single::Byte(other),
        }
    }

    #[inline(always)]
    fn fits(&self, item: Single<'p>, s: usize) -> bool {
        self.src.get(s).is_some_and(|c| item.fits(*c))
    }

    fn go(&mut self, mut s: usize, mut p: usize) -> Match {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail("pattern too complex");
        }
        let result = loop {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return self.fail("pattern too complex");
            }
            let Some(c) = self.pat_at(p) else { break Some(s) };
            match c {
                b'(' => {
                    break if self.pat_at(p + 1) == Some(b')') {
                        self.open(s, p + 2, POSITION)
                    } else {
                        self.open(s, p + 1, UNCLOSED)
                    };
                }
                b')' => break self.close(s, p + 1),
                b'$' if p + 1 == self.pat.len() => break (s == self.src.len()).then_some(s),
                ESCAPE => match self.pat_at(p + 1) {
                    Some(b'b') => match self.balance(s, p + 2) {
                        Some(end) => {
                            s = end;
                            p += 4;
                            continue;
                        }
                        None => break None,
                    },
                    Some(b'f') => match self.frontier(s, p + 2) {
                        Some(ep) => {
                            p = ep;
                            continue;
                        }
                        None => break None,
                    },
                    Some(digit @ b'0'..=b'9') => match self.back_reference(s, digit) {
                        Some(end) => {
                            s = end;
                            p += 2;
                            continue;
                        }
                        None => break None,
                    },
                    _ => {}
                },
                _ => {}
            }
            let ep = self.class_end(p);
            if self.error.is_some() {
                return None;
            }
            let item = self.item(p, ep);
            match self.pat_at(ep) {
                Some(b'?') => {
                    if self.fits(item, s) {
                        let end = self.go(s + 1, ep + 1);
                        if end.is_some() || self.error.is_some() {
                            break end;
                        }
                    }
                    p = ep + 1;
                }
                Some(b'*') => break self.longest(s, item, ep, 0),
                Some(b'+') => break self.longest(s, item, ep, 1),
                Some(b'-') => break self.shortest(s, item, ep),
                _ => {
                    if !self.fits(item, s) {
                        break None;
                    }
                    s += 1;
                    p = ep;
                }
            }
        };
        self.depth -= 1;
        result
    }

    fn longest(&mut self, s: usize, item: Single<'p>, ep: usize, least: usize) -> Match {
        let rest = self.src.get(s..).unwrap_or(b"");
        let over = match item {
            Single::Any => None,
            Single::Byte(b) => rest.iter().position(|c| *c != b),
            Single::Class(mask, not) => rest.iter().position(|c| (CLASSES[usize::from(*c)] & mask != 0) == not),
            Single::Set(inside) if inside.len() > LONG_SET => {
                let members = self.members(inside);
                rest.iter().position(|c| !members[usize::from(*c)])
            }
            Single::Set(inside) => rest.iter().position(|c| !set(*c, inside)),
        };
        let mut n = over.unwrap_or(rest.len());
        self.steps += n as u64 / 4;
        if ep + 1 == self.pat.len() {
            // Nothing follows: the longest match is the answer.
            return (n >= least).then_some(s + n);
        }
        let next = self.required(ep + 1);
        while n + 1 > least {
            if next.is_none_or(|next| self.fits(next, s + n)) {
                let end = self.go(s + n, ep + 1);
                if end.is_some() || self.error.is_some() {
                    return end;
                }
            }
            if n == 0 {
                break;
            }
            n -= 1;
        }
        None
    }

    fn shortest(&mut self, mut s: usize, item: Single<'p>, ep: usize) -> Match {
        loop {
            let end = self.go(s, ep + 1);
            if end.is_some() || self.error.is_some() {
                return end;
            }
            if let Single::Set(inside) = item {
                self.steps += (inside.len() / 8) as u64;
            }
            if !self.fits(item, s) {
                return None;
            }
            s += 1;
        }
    }

    /// A long set, looked into once for each character there is.
    #[cold]
    fn members(&mut self, inside: &[u8]) -> [bool; 256] {
        self.steps += (inside.len() * 16) as u64;
        std::array::from_fn(|c| set(c as u8, inside))
    }

    fn open(&mut self, s: usize, p: usize, what: isize) -> Match {
        if self.captures.len() >= MAX_CAPTURES {
            return self.fail("too many captures");
        }
        self.captures.push((s, what));
        let end = self.go(s, p);
        if end.is_none() {
            self.captures.pop();
        }
        end
    }

    fn close(&mut self, s: usize, p: usize) -> Match {
        let Some(l) = self.captures.iter().rposition(|c| c.1 == UNCLOSED) else {
            return self.fail("invalid pattern capture");
        };
        self.captures[l].1 = (s - self.captures[l].0) as isize;
        let end = self.go(s, p);
        if end.is_none() {
            self.captures[l].1 = UNCLOSED;
        }
        end
    }

    /// `%f[set]`: the index behind it in the pattern, if a run of the set begins at `s`.
    fn frontier(&mut self, s: usize, p: usize) -> Option<usize> {
        if self.pat_at(p) != Some(b'[') {
            return self.fail("missing '[' after '%f' in pattern");
        }
        let ep = self.class_end(p);
        if self.error.is_some() {
            return None;
        }
        let before = if s == 0 { 0 } else { self.src[s - 1] };
        let here = self.src.get(s).copied().unwrap_or(0);
        let inside = &self.pat[p + 1..ep - 1];
        (!set(before, inside) && set(here, inside)).then_some(ep)
    }

    fn balance(&mut self, s: usize, p: usize) -> Match {
        let (Some(open), Some(close)) = (self.pat_at(p), self.pat_at(p + 1)) else {
            return self.fail("unbalanced pattern");
        };
        if self.src.get(s) != Some(&open) {
            return None;
        }
        let mut nesting = 1;
        for (i, &c) in self.src.iter().enumerate().skip(s + 1) {
            if c == close {
                nesting -= 1;
                if nesting == 0 {
                    self.steps += (i - s) as u64 / 4;
                    return Some(i + 1);
                }
            } else if c == open {
                nesting += 1;
            }
        }
        self.steps += (self.src.len() - s) as u64 / 4;
        None
    }

    fn back_reference(&mut self, s: usize, digit: u8) -> Match {
        let l = (digit as usize).wrapping_sub(b'1' as usize);
        if l >= self.captures.len() || self.captures[l].1 == UNCLOSED {
            return self.fail("invalid capture index");
        }
        let (at, len) = self.captures[l];
        let len = usize::try_from(len).unwrap_or(0);
        let text = &self.src[at..at + len];
        self.steps += len as u64 / 8;
        self.src[s..].starts_with(text).then_some(s + len)
    }
}

/// The bit of a class letter, of either case; 0: the character stands for itself.
const LETTERS: [u16; 256] = {
    let mut table = [0; 256];
    let letters = b"acdglpsuwxz";
    let mut i = 0;
    while i < letters.len() {
        table[letters[i] as usize] = 1 << i;
        table[letters[i].to_ascii_uppercase() as usize] = 1 << i;
        i += 1;
    }
    table
};

/// The classes of each character, as the bits of `LETTERS` (the C locale's).
const CLASSES: [u16; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let c = i as u8;
        let is = [
            c.is_ascii_alphabetic(),
            c.is_ascii_control(),
            c.is_ascii_digit(),
            c.is_ascii_graphic(),
            c.is_ascii_lowercase(),
            c.is_ascii_punctuation(),
            matches!(c, b' ' | 9..=13),
            c.is_ascii_uppercase(),
            c.is_ascii_alphanumeric(),
            c.is_ascii_hexdigit(),
            c == 0,
        ];
        let mut bit = 0;
        while bit < is.len() {
            if is[bit] {
                table[i] |= 1 << bit;
            }
            bit += 1;
        }
        i += 1;
    }
    table
};

/// A class letter; in upper case the complement; other characters stand for themselves.
#[inline(always)]
fn class(c: u8, letter: u8) -> bool {
    match LETTERS[usize::from(letter)] {
        0 => letter == c,
        mask => (CLASSES[usize::from(c)] & mask != 0) != letter.is_ascii_uppercase(),
    }
}

/// The inside of a `[set]`.
fn set(c: u8, inside: &[u8]) -> bool {
    let (negated, inside) = match inside {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, inside),
    };
    let mut i = 0;
    while i < inside.len() {
        if inside[i] == ESCAPE && i + 1 < inside.len() {
            if class(c, inside[i + 1]) {
                return !negated;
            }
            i += 2;
        } else if i + 2 < inside.len() && inside[i + 1] == b'-' {
            if inside[i] <= c && c <= inside[i + 2] {
                return !negated;
            }
            i += 3;
        } else {
            if inside[i] == c {
                return !negated;
            }
            i += 1;
        }
    }
    negated
}

/// Has it no magic characters: then a search for the bytes will do.
pub fn is_plain(pat: &[u8]) -> bool {
    !pat.iter().any(|c| b"^$*+?.([%-".contains(c))
}
