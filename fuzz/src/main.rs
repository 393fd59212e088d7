//! Compares perilune's regular expressions with PCRE's: `perilune-fuzz SECONDS [SEED]`.

mod generate;
#[cfg(not(feature = "pcre8"))]
mod oracle;
#[cfg(feature = "pcre8")]
#[path = "pcre8.rs"]
mod oracle;

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use generate::{Kind, Random};
use ngx::regex::{Captures, Flags, Regex};

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    No,
    /// Every group's place.
    Match(Vec<Option<(usize, usize)>>),
    /// PCRE's number.
    Error(i32),
}

/// Steps of an attempt, on both sides.
pub const LIMIT: u32 = 50_000;
const SUBJECTS: usize = 8;
/// Differences after which it is enough.
const ENOUGH: usize = 40;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().ok());
    let seconds = args.next().flatten().unwrap_or(10);
    let by_clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |time| time.as_secs());
    let seed = args.next().flatten().unwrap_or(by_clock);
    let (begun, mut random) = (Instant::now(), Random::new(seed));
    let (mut compiled, mut searched) = (0u64, 0u64);
    let mut found: Vec<(usize, String)> = Vec::new();
    while begun.elapsed() < Duration::from_secs(seconds) && found.len() < ENOUGH {
        let kind = [Kind::Plain, Kind::Full, Kind::Full, Kind::Broken][random.below(4)];
        let pattern = generate::pattern(&mut random, kind);
        let options = generate::options(&mut random);
        let subjects: Vec<String> = (0..SUBJECTS).map(|_| generate::subject(&mut random)).collect();
        // (C wants the address of an empty subject to be in memory too)
        let subjects: Vec<String> = subjects.into_iter().map(|subject| subject + "\0").collect();
        let subjects: Vec<&[u8]> = subjects.iter().map(|text| &text.as_bytes()[..text.len() - 1]).collect();
        compiled += 1;
        searched += subjects.len() as u64;
        if let Some(words) = compare(&pattern, &options, &subjects) {
            found.push((pattern.len(), words));
        }
    }
    found.sort();
    found.iter().for_each(|(_, words)| println!("{words}"));
    println!("seed {seed}: {compiled} patterns, {searched} searches, {} differences to {}", found.len(), oracle::NAME);
    if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn compare(pattern: &str, options: &str, subjects: &[&[u8]]) -> Option<String> {
    let head = format!("/{}/{options}", pattern.escape_debug());
    let theirs = oracle::answer(pattern.as_bytes(), options, subjects);
    let ours = Regex::compile(pattern.as_bytes(), flags(options));
    match (&theirs, &ours) {
        // (PCRE2 refuses other things than PCRE 8, in other words)
        (Err(_), _) | (_, Err(_)) if cfg!(not(feature = "pcre8")) => None,
        (Err((words, at)), Err(error)) => {
            let same = error.message == words && error.offset == *at;
            // (repeated calls are looked at more closely there)
            let loops = words.starts_with("recursive call") || error.message.starts_with("recursive call");
            (!same && !loops && !known(pattern, options))
                .then(|| format!("{head}: {words} at offset {at}; here: {error}"))
        }
        (Err((words, _)), Ok(_)) if words.starts_with("recursive call") => None,
        (Err((words, at)), Ok(_)) => {
            (!known(pattern, options)).then(|| format!("{head}: {words} at offset {at}; compiles here"))
        }
        (Ok(_), Err(error)) => (!known(pattern, options)).then(|| format!("{head}: compiles; here: {error}")),
        (Ok(theirs), Ok(regex)) => {
            if known(pattern, options) {
                return None;
            }
            let mut captures = Captures::new();
            for (theirs, subject) in theirs.iter().zip(subjects) {
                // With a limit and, where there is another engine for searches without, also without.
                for limit in [u64::from(LIMIT), 0] {
                    let mut ours = match regex.exec(subject, 0, &mut captures, limit) {
                        Ok(false) => Answer::No,
                        Ok(true) => {
                            Answer::Match((0..regex.captures_len()).map(|group| captures.span(group)).collect())
                        }
                        Err(error) => Answer::Error(error.code()),
                    };
                    let mut theirs = theirs.clone();
                    shorten(&mut ours);
                    shorten(&mut theirs);
                    let errors = matches!((&ours, &theirs), (Answer::Error(_), _) | (_, Answer::Error(_)));
                    if ours != theirs && !errors && shortcut(pattern, options, subject) != Some(ours.clone()) {
                        let subject = String::from_utf8_lossy(subject);
                        return Some(format!("{head} on {subject:?} (limit {limit}): {theirs:?}; here: {ours:?}"));
                    }
                }
            }
            None
        }
    }
}

/// Groups at the end that took no part are not told of.
fn shorten(answer: &mut Answer) {
    if let Answer::Match(spans) = answer {
        while spans.last() == Some(&None) {
            spans.pop();
        }
    }
}

/// What PCRE2 finds where it looks for itself. It wants the character of a leading lookahead twice, and gives nothing back to optional
/// possessive groups, to atomic ones that can be empty, nor from `\R` to `\N`: such shortcuts are no part of what a pattern means.
fn shortcut(pattern: &str, options: &str, subject: &[u8]) -> Option<Answer> {
    let mut answer = oracle::answer_without_shortcuts(pattern.as_bytes(), options, subject)?;
    shorten(&mut answer);
    Some(answer)
}

/// Where the two differ on purpose.
fn known(pattern: &str, options: &str) -> bool {
    // Callouts and the rest of verbs are refused here, `(?^)` is not. `\X` is a simpler one.
    let here = ["(?C", "(?^", "\\X", "(*X)", "(*"];
    if here
        .iter()
        .any(|part| pattern.contains(part) && (*part != "(*" || !SUPPORTED.iter().any(|verb| pattern.contains(verb))))
    {
        return true;
    }
    // A byte of a character leaves the rest of it to be matched, which "has undefined results" (pcre2pattern, "Matching a single code
    // unit").
    if pattern.contains("\\C") && options.contains('u') {
        return true;
    }
    // PCRE2 goes back into groups that were called, knows more escapes, and refuses some that PCRE 8 takes literally.
    let newer = [
        "(?R", "(?0", "(?1", "(?2", "(?3", "(?4", "(?5", "(?6", "(?7", "(?8", "(?9", "(?+", "(?-", "(?&", "(?P>",
        "\\g<", "\\N{", "(*",
    ];
    // It forgets what is beyond U+00FF of `\W` and its like when a POSIX class follows: `[\W[:alpha:]]` does not match U+212A, which
    // `[[:alpha:]\W]` does, and PCRE 8 takes both to mean the same.
    let in_one_class = |(at, _): (usize, &str)| {
        let rest = &pattern[at..];
        rest.find("[:").is_some_and(|end| !rest[..end].contains(['[', ']']))
    };
    let forgets = ["\\W", "\\D", "\\S"].iter().any(|class| pattern.match_indices(class).any(in_one_class));
    if cfg!(not(feature = "pcre8")) && options.contains('u') && forgets {
        return true;
    }
    // It repeats assertions that have a quantifier (up to once more than they must be), which PCRE 8 does not: what they capture differs.
    if cfg!(not(feature = "pcre8")) && repeats_an_assertion(pattern) {
        return true;
    }
    // It takes `^` in a group that is repeated no times for an anchor.
    cfg!(not(feature = "pcre8")) && newer.iter().chain(&["){0}"]).any(|part| pattern.contains(part))
}

fn repeats_an_assertion(pattern: &str) -> bool {
    let (mut open, mut escaped) = (Vec::new(), false);
    for (at, byte) in pattern.bytes().enumerate() {
        match byte {
            _ if std::mem::take(&mut escaped) => {}
            b'\\' => escaped = true,
            b'(' => open.push(["(?=", "(?!", "(?<=", "(?<!"].iter().any(|kind| pattern[at..].starts_with(kind))),
            b')' if open.pop() == Some(true) && pattern[at + 1..].starts_with(['*', '+', '?', '{']) => return true,
            _ => {}
        }
    }
    false
}

const SUPPORTED: &[&str] = &["(*ACCEPT)", "(*FAIL)", "(*COMMIT)", "(*PRUNE)", "(*SKIP)"];

fn flags(options: &str) -> Flags {
    let has = |letter| options.contains(letter);
    Flags {
        caseless: has('i'),
        multiline: has('m'),
        dotall: has('s'),
        extended: has('x'),
        utf: has('u'),
        anchored: has('a'),
        ..Flags::default()
    }
}
