//! Searching: where a match can start, and an attempt at each such place.

use super::MatchError;
use super::backtrack::{Machine, Outcome, Scratch};
use super::program::{Program, Start};
use super::scan::Text;

/// How many steps are allowed.
#[derive(Clone, Copy)]
pub struct Limit {
    attempt: u64,
    total: u64,
}

impl Limit {
    /// A limit for each attempt, as PCRE's; the whole search gets several times that.
    pub fn of_attempt(limit: u64, subject: &[u8]) -> Limit {
        Limit { attempt: limit, total: limit.saturating_mul(ATTEMPTS).saturating_add(subject.len() as u64) }
    }

    pub fn of_search(limit: u64) -> Limit {
        Limit { attempt: limit, total: limit }
    }
}

/// Finds the first match from `start` on. The slots are in `scratch` afterwards.
pub fn search(
    program: &Program,
    subject: &[u8],
    start: usize,
    anchored: bool,
    longest: bool,
    scratch: &mut Scratch,
    limit: Limit,
) -> Result<bool, MatchError> {
    let text = Text { program, subject, from: start };
    let found = search_with(text, start, anchored, longest, scratch, limit);
    scratch.trim();
    found
}

fn search_with(
    text: Text<'_>,
    start: usize,
    anchored: bool,
    longest: bool,
    scratch: &mut Scratch,
    limit: Limit,
) -> Result<bool, MatchError> {
    let (program, subject) = (text.program, text.subject);
    let mut machine = Machine::new(text, longest, scratch);
    // Where the required byte stands next; most attempts that cannot take long are spared the look.
    let mut required = program.required.filter(|_| program.branching).map(|_| start);
    let mut at = start;
    loop {
        let Some(candidate) = candidate(text, at, anchored) else { return Ok(false) };
        if let Some(byte) = program.required
            && required.is_some_and(|required| candidate > required || required == start)
        {
            match memchr::memchr(byte, &subject[candidate..]) {
                Some(found) => required = Some(candidate + found),
                None => return Ok(false),
            }
        }
        machine.attempt_end = machine.scratch.steps.saturating_add(limit.attempt).min(limit.total);
        machine.run_end = candidate;
        match machine.attempt(candidate)? {
            Outcome::Match => return Ok(true),
            Outcome::Stop => return Ok(false),
            Outcome::SkipTo(next) if next > candidate => at = next,
            Outcome::NoMatch | Outcome::SkipTo(_) => {
                at = machine.run_end;
                at = if at < subject.len() { at + text.char_len(at) } else { at + 1 };
            }
        }
        if anchored || at > subject.len() {
            return Ok(false);
        }
        required = required.or(Some(start));
        machine.scratch.steps += 1;
    }
}

/// The first place from `at` on where a match can start.
fn candidate(text: Text<'_>, at: usize, anchored: bool) -> Option<usize> {
    if anchored {
        return Some(at);
    }
    let (subject, rest) = (text.subject, &text.subject[at..]);
    let in_table = |table: &[bool; 256]| rest.iter().position(|&byte| table[usize::from(byte)]).map(|found| at + found);
    match &text.program.start {
        Start::Anywhere => Some(at),
        Start::Anchored => (at == 0).then_some(0),
        Start::Lines if at == 0 || subject[at - 1] == b'\n' => Some(at),
        Start::Lines => {
            // Behind a newline at the subject's very end no line starts.
            let line = at + memchr::memchr(b'\n', rest)? + 1;
            (line < subject.len()).then_some(line)
        }
        Start::First => (at == text.from).then_some(at),
        Start::FirstAndLines if at == text.from || subject[at - 1] == b'\n' => Some(at),
        Start::FirstAndLines => Some(at + memchr::memchr(b'\n', rest)? + 1),
        Start::Literal(finder) => finder.find(rest).map(|found| at + found),
        Start::Few([a, b, c]) => {
            let found = if a == c { memchr::memchr(*a, rest) } else { memchr::memchr3(*a, *b, *c, rest) };
            found.map(|found| at + found)
        }
        Start::Before { offset, byte } => memchr::memchr(*byte, rest.get(*offset..)?).map(|found| at + found),
        Start::Words { table, .. } if rest.len() < WIDE => in_table(table),
        Start::Words { finder, .. } => finder.find(subject, (at..subject.len()).into()).map(|found| found.start),
        Start::Bytes(table) => in_table(table),
    }
}

/// The budget of a whole search, in budgets of one attempt.
const ATTEMPTS: u64 = 10;
/// Bytes from which on searching for words at once is worth it.
const WIDE: usize = 24;
