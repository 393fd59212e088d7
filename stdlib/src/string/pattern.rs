//! Lua patterns (Lua 5.1 manual 5.4.1, with %g and %f): the matcher.
//!
//! Recursion is counted, and so are the steps: a pattern that backtracks for ever ends with "pattern too complex" instead of
//! holding the worker.

/// As LuaJIT: more captures are an error.
const MAX_CAPTURES: usize = 32;
/// Nested matching (captures, repetitions that are tried longest first).
const MAX_DEPTH: usize = 200;
/// Steps of one match; about a second's work.
const MAX_STEPS: u64 = 100_000_000;

const ESCAPE: u8 = b'%';
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
    level: usize,
    captures: [(usize, isize); MAX_CAPTURES],
    depth: usize,
    /// Work done so far: to be charged.
    pub steps: u64,
}

type Match = Result<Option<usize>, &'static str>;

impl<'s, 'p> Matcher<'s, 'p> {
    /// `pat` without its anchor.
    pub fn new(src: &'s [u8], pat: &'p [u8]) -> Matcher<'s, 'p> {
        Matcher { src, pat, level: 0, captures: [(0, 0); MAX_CAPTURES], depth: 0, steps: 0 }
    }

    /// Matches at `at`; the end of the match.
    pub fn match_at(&mut self, at: usize) -> Match {
        self.level = 0;
        self.depth = 0;
        self.go(at, 0)
    }

    /// How many captures there are, the whole match counting as one if there is none and `whole`.
    pub fn count(&self, whole: bool) -> usize {
        if self.level == 0 && whole { 1 } else { self.level }
    }

    /// The i-th capture of a match from `start` to `end`; without captures, the whole match is the first.
    pub fn capture(&self, i: usize, start: usize, end: usize) -> Result<Capture<'s>, &'static str> {
        if i >= self.level {
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

    /// The index behind the single-character class that begins at `p`.
    fn class_end(&self, p: usize) -> Result<usize, &'static str> {
        let c = self.pat[p];
        let mut p = p + 1;
        if c == ESCAPE {
            if p >= self.pat.len() {
                return Err("malformed pattern (ends with '%')");
            }
            return Ok(p + 1);
        }
        if c == b'[' {
            if self.pat_at(p) == Some(b'^') {
                p += 1;
            }
            // A ] right at the beginning is an ordinary character.
            loop {
                let Some(c) = self.pat_at(p) else { return Err("malformed pattern (missing ']')") };
                p += 1;
                if c == ESCAPE {
                    if p >= self.pat.len() {
                        return Err("malformed pattern (missing ']')");
                    }
                    p += 1;
                }
                if self.pat_at(p) == Some(b']') {
                    return Ok(p + 1);
                }
            }
        }
        Ok(p)
    }

    #[inline(always)]
    fn single(&self, s: usize, p: usize, ep: usize) -> bool {
        let Some(&c) = self.src.get(s) else { return false };
        match self.pat[p] {
            b'.' => true,
            ESCAPE => class(c, self.pat[p + 1]),
            b'[' => set(c, &self.pat[p + 1..ep - 1]),
            other => other == c,
        }
    }

    fn go(&mut self, mut s: usize, mut p: usize) -> Match {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("pattern too complex");
        }
        let result = loop {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err("pattern too complex");
            }
            let Some(c) = self.pat_at(p) else { break Some(s) };
            match c {
                b'(' => {
                    break if self.pat_at(p + 1) == Some(b')') {
                        self.open(s, p + 2, POSITION)?
                    } else {
                        self.open(s, p + 1, UNCLOSED)?
                    };
                }
                b')' => break self.close(s, p + 1)?,
                b'$' if p + 1 == self.pat.len() => break (s == self.src.len()).then_some(s),
                ESCAPE if self.pat_at(p + 1) == Some(b'b') => match self.balance(s, p + 2)? {
                    Some(end) => {
                        s = end;
                        p += 4;
                        continue;
                    }
                    None => break None,
                },
                ESCAPE if self.pat_at(p + 1) == Some(b'f') => {
                    p += 2;
                    if self.pat_at(p) != Some(b'[') {
                        return Err("missing '[' after '%f' in pattern");
                    }
                    let ep = self.class_end(p)?;
                    let before = if s == 0 { 0 } else { self.src[s - 1] };
                    let here = self.src.get(s).copied().unwrap_or(0);
                    let inside = &self.pat[p + 1..ep - 1];
                    if !set(before, inside) && set(here, inside) {
                        p = ep;
                        continue;
                    }
                    break None;
                }
                ESCAPE if self.pat_at(p + 1).is_some_and(|d| d.is_ascii_digit()) => {
                    match self.back_reference(s, self.pat[p + 1])? {
                        Some(end) => {
                            s = end;
                            p += 2;
                            continue;
                        }
                        None => break None,
                    }
                }
                _ => {}
            }
            let ep = self.class_end(p)?;
            match self.pat_at(ep) {
                Some(b'?') => {
                    if self.single(s, p, ep) {
                        if let Some(end) = self.go(s + 1, ep + 1)? {
                            break Some(end);
                        }
                    }
                    p = ep + 1;
                }
                Some(b'*') => break self.longest(s, p, ep, 0)?,
                Some(b'+') => break self.longest(s, p, ep, 1)?,
                Some(b'-') => break self.shortest(s, p, ep)?,
                _ => {
                    if !self.single(s, p, ep) {
                        break None;
                    }
                    s += 1;
                    p = ep;
                }
            }
        };
        self.depth -= 1;
        Ok(result)
    }

    fn longest(&mut self, s: usize, p: usize, ep: usize, least: usize) -> Match {
        let mut n = 0;
        while self.single(s + n, p, ep) {
            n += 1;
        }
        self.steps += n as u64 / 4;
        if ep + 1 == self.pat.len() {
            // Nothing follows: the longest match is the answer.
            return Ok((n >= least).then_some(s + n));
        }
        while n + 1 > least {
            if let Some(end) = self.go(s + n, ep + 1)? {
                return Ok(Some(end));
            }
            if n == 0 {
                break;
            }
            n -= 1;
        }
        Ok(None)
    }

    fn shortest(&mut self, mut s: usize, p: usize, ep: usize) -> Match {
        loop {
            if let Some(end) = self.go(s, ep + 1)? {
                return Ok(Some(end));
            }
            if !self.single(s, p, ep) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, what: isize) -> Match {
        if self.level >= MAX_CAPTURES {
            return Err("too many captures");
        }
        self.captures[self.level] = (s, what);
        self.level += 1;
        let end = self.go(s, p)?;
        if end.is_none() {
            self.level -= 1;
        }
        Ok(end)
    }

    fn close(&mut self, s: usize, p: usize) -> Match {
        let Some(l) = (0..self.level).rev().find(|l| self.captures[*l].1 == UNCLOSED) else {
            return Err("invalid pattern capture");
        };
        self.captures[l].1 = (s - self.captures[l].0) as isize;
        let end = self.go(s, p)?;
        if end.is_none() {
            self.captures[l].1 = UNCLOSED;
        }
        Ok(end)
    }

    fn balance(&mut self, s: usize, p: usize) -> Match {
        let (Some(open), Some(close)) = (self.pat_at(p), self.pat_at(p + 1)) else {
            return Err("unbalanced pattern");
        };
        if self.src.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut nesting = 1;
        for (i, &c) in self.src.iter().enumerate().skip(s + 1) {
            if c == close {
                nesting -= 1;
                if nesting == 0 {
                    self.steps += (i - s) as u64 / 4;
                    return Ok(Some(i + 1));
                }
            } else if c == open {
                nesting += 1;
            }
        }
        self.steps += (self.src.len() - s) as u64 / 4;
        Ok(None)
    }

    fn back_reference(&mut self, s: usize, digit: u8) -> Match {
        let l = (digit as usize).wrapping_sub(b'1' as usize);
        if l >= self.level || self.captures[l].1 == UNCLOSED {
            return Err("invalid capture index");
        }
        let (at, len) = self.captures[l];
        let len = usize::try_from(len).unwrap_or(0);
        let text = &self.src[at..at + len];
        self.steps += len as u64 / 8;
        Ok(self.src[s..].starts_with(text).then_some(s + len))
    }
}

/// A class letter; in upper case the complement; other characters stand for themselves.
fn class(c: u8, letter: u8) -> bool {
    let yes = match letter.to_ascii_lowercase() {
        b'a' => c.is_ascii_alphabetic(),
        b'c' => c.is_ascii_control(),
        b'd' => c.is_ascii_digit(),
        b'g' => c.is_ascii_graphic(),
        b'l' => c.is_ascii_lowercase(),
        b'p' => c.is_ascii_punctuation(),
        b's' => matches!(c, b' ' | 9..=13),
        b'u' => c.is_ascii_uppercase(),
        b'w' => c.is_ascii_alphanumeric(),
        b'x' => c.is_ascii_hexdigit(),
        b'z' => c == 0,
        _ => return letter == c,
    };
    yes != letter.is_ascii_uppercase()
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
