//! Regular expressions for `ngx.re.*` and `location ~`: PCRE's syntax and semantics, with budgets.
//!
//! A pattern goes `parse` (with `escape` and `class`) -> `ast` -> `compile` (with `analysis`) -> `program`, and is
//! run by `backtrack`, a machine with an explicit stack: no pattern and no subject can exhaust the Rust stack, and
//! every step is counted. Semantics are PCRE 8's as OpenResty builds it: leftmost, first alternative wins; newline is
//! LF; `\R` is any Unicode newline; recursion and assertions are atomic; classes and case are ASCII outside UTF mode.
//! Not supported, and refused when compiling: callouts, `(*THEN)`, `(*MARK)`, names for `(*SKIP)`, newline
//! conventions other than LF.
//!
//! Backtracking is fast for all but the worst patterns. When a search takes long, and the pattern allows it, it is
//! handed over to `linear`, which gives exactly the same captures; so the default limit is met only by patterns that need
//! to backtrack. A limit that was asked for is counted in any case.

mod analysis;
mod ast;
mod backtrack;
mod charset;
mod check;
mod class;
mod compile;
mod escape;
mod linear;
mod parse;
mod program;
mod rewrite;
mod scan;
mod search;
mod template;
mod words;

pub use template::{LUA_ERROR as TEMPLATE_ERROR, Template, TemplateError};

use backtrack::Scratch;
use linear::Linear;
use program::{Program, UNSET};
use search::Limit;

/// Options of a pattern. The letters are those of `ngx.re`'s options string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `i`.
    pub caseless: bool,
    /// `m`: `^` and `$` match at every line.
    pub multiline: bool,
    /// `s`: `.` matches newlines.
    pub dotall: bool,
    /// `x`: white space and comments are ignored.
    pub extended: bool,
    /// `a`: only match where the search starts.
    pub anchored: bool,
    /// `u`, `U`: pattern and subject are UTF-8.
    pub utf: bool,
    /// `U`: the subject is not checked for being UTF-8.
    pub no_utf_check: bool,
    /// Quantifiers are lazy, and greedy with `?`.
    pub ungreedy: bool,
    /// `$` matches at the very end only.
    pub dollar_end_only: bool,
    /// `D`: a name may be used for several groups.
    pub dup_names: bool,
    /// `J`: JavaScript's view of `]`, `\x`, `\u` and unset groups.
    pub javascript_compat: bool,
    /// `d`: of all matches at the leftmost place the longest one, without captures, as PCRE's DFA matcher finds it.
    pub longest: bool,
}

/// Why a pattern was refused: PCRE's words, and the offset in bytes that goes with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileError {
    pub message: &'static str,
    pub offset: usize,
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at offset {}", self.message, self.offset)
    }
}

impl std::error::Error for CompileError {}

/// Why a search gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchError {
    /// The step budget ran out.
    LimitExceeded,
    /// The stack of places to go back to, or of calls, grew too large.
    StackExceeded,
    /// The subject is not UTF-8.
    BadUtf8,
    /// The search would start inside a character.
    BadUtf8Offset,
    /// A group calls itself without consuming anything.
    RecursionLoop,
    /// The search would start behind the subject's end.
    BadOffset,
}

impl MatchError {
    /// PCRE's number for it, as in `pcre_exec() failed: -8`.
    pub fn code(self) -> i32 {
        match self {
            MatchError::LimitExceeded => -8,
            MatchError::BadUtf8 => -10,
            MatchError::BadUtf8Offset => -11,
            MatchError::StackExceeded => -21,
            MatchError::BadOffset => -24,
            MatchError::RecursionLoop => -26,
        }
    }
}

impl std::fmt::Display for MatchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pcre_exec() failed: {}", self.code())
    }
}

impl std::error::Error for MatchError {}

/// Where groups matched, and the memory that searching needs: keep one and pass it to every search.
#[derive(Debug, Default)]
pub struct Captures {
    /// Of the last match; group 0 first.
    groups: usize,
    scratch: Scratch,
}

impl Captures {
    pub fn new() -> Captures {
        Captures::default()
    }

    /// Where a group matched, in bytes; `None` if it took no part. Group 0 is the whole match.
    #[inline]
    pub fn span(&self, group: usize) -> Option<(usize, usize)> {
        if group >= self.groups {
            return None;
        }
        match self.scratch.slots.get(2 * group..2 * group + 2) {
            Some(&[start, end]) if start != UNSET && end != UNSET => Some((start, end)),
            _ => None,
        }
    }

    /// Steps that the last search took, matching or not: what to charge for it.
    pub fn steps(&self) -> u64 {
        self.scratch.steps
    }
}

/// A compiled pattern.
#[derive(Debug)]
pub struct Regex {
    program: Program,
    /// For searches that turn out hard.
    linear: Option<Linear>,
    names: Vec<(Vec<u8>, u32)>,
    groups: u32,
    flags: Flags,
    match_limit: Option<u64>,
}

impl Regex {
    pub fn compile(pattern: &[u8], flags: Flags) -> Result<Regex, CompileError> {
        let parsed = parse::parse(pattern, flags)?;
        let program = compile::compile(&parsed, flags)?;
        let flags = Flags { utf: parsed.utf, ..flags };
        // (of a subject that is not checked, characters may be anything)
        let unchecked = parsed.utf && flags.no_utf_check;
        let linear = if unchecked || flags.longest { None } else { Linear::new(&parsed) };
        let parse::Parsed { names, groups, match_limit, .. } = parsed;
        Ok(Regex { program, linear, names, groups, flags, match_limit })
    }

    /// Number of groups, group 0 included.
    pub fn captures_len(&self) -> usize {
        self.groups as usize + 1
    }

    /// Names and the numbers of their groups, in order of appearance; with `dup_names` a name can come more than once.
    pub fn names(&self) -> &[(Vec<u8>, u32)] {
        &self.names
    }

    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// Searches by backtracking, and when that does not come to an end soon, in linear time.
    fn run_or_hand_over(
        &self,
        linear: &Linear,
        subject: &[u8],
        start: usize,
        scratch: &mut Scratch,
    ) -> Result<bool, MatchError> {
        let anchored = self.flags.anchored;
        let length = (subject.len() - start) as u64;
        if !linear.is_built() {
            let soon = Limit::of_search(PATIENCE + PATIENCE_PER_BYTE * length);
            match search::search(&self.program, subject, start, anchored, false, scratch, soon) {
                Err(MatchError::LimitExceeded | MatchError::StackExceeded) => {}
                result => return result,
            }
        } else {
            scratch.steps = 0;
        }
        match linear.search(subject, start, anchored, &mut scratch.slots) {
            Some(found) => {
                scratch.steps += length / 8;
                Ok(found)
            }
            None => {
                let limit = Limit::of_attempt(DEFAULT_LIMIT, subject);
                search::search(&self.program, subject, start, anchored, false, scratch, limit)
            }
        }
    }

    /// Searches `subject` from byte `start` on; what is before it can be looked at. `limit` bounds the steps of one
    /// attempt; 0 means PCRE's default. After `Ok(true)`, `captures` holds the groups.
    pub fn exec(&self, subject: &[u8], start: usize, captures: &mut Captures, limit: u64) -> Result<bool, MatchError> {
        if start > subject.len() {
            return Err(MatchError::BadOffset);
        }
        if self.flags.utf && !self.flags.no_utf_check {
            if std::str::from_utf8(subject).is_err() {
                return Err(MatchError::BadUtf8);
            }
            if subject.get(start).is_some_and(|byte| byte & 0xc0 == 0x80) {
                return Err(MatchError::BadUtf8Offset);
            }
        }
        let Captures { groups, scratch } = captures;
        let Flags { anchored, longest, .. } = self.flags;
        let own = self.match_limit.unwrap_or(u64::MAX);
        let found = match &self.linear {
            // Who asks for a limit asks for the engine that counts.
            Some(linear) if limit == 0 && own == u64::MAX && linear.suits(subject) => {
                self.run_or_hand_over(linear, subject, start, scratch)
            }
            _ => {
                let limit = if limit == 0 { DEFAULT_LIMIT } else { limit };
                let limit = Limit::of_attempt(limit.min(own), subject);
                search::search(&self.program, subject, start, anchored, longest, scratch, limit)
            }
        }?;
        *groups = match (found, longest) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => self.groups as usize + 1,
        };
        Ok(found)
    }
}

/// Steps after which a search is hard.
const PATIENCE: u64 = 2000;
const PATIENCE_PER_BYTE: u64 = 8;
/// PCRE's default MATCH_LIMIT.
pub const DEFAULT_LIMIT: u64 = 10_000_000;

#[cfg(test)]
mod tests;
