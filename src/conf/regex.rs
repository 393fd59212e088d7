//! Regular expressions of the configuration (`location ~`, `rewrite`, `if ~`, `map`, `server_name ~`) behind one small type: PCRE's,
//! by the engine that `ngx.re` has.

use std::cell::RefCell;
use std::sync::Arc;

use ngx::regex::{self, CompileError, Flags};

#[derive(Clone, Debug)]
pub struct Regex {
    pub pattern: String,
    engine: Arc<regex::Regex>,
    /// Group names with their numbers: each becomes a variable.
    pub names: Vec<(String, usize)>,
}

/// The captured texts: group 0 first; None: the group took no part.
pub type Captures = Vec<Option<Vec<u8>>>;

/// A search that went beyond PCRE's limit: what the log says of it. nginx takes it for a failure, not for "not found".
#[derive(Clone, Debug, PartialEq)]
pub struct Exceeded(pub String);

thread_local! {
    /// The memory that searches need.
    static PLACES: RefCell<regex::Captures> = RefCell::default();
}

impl Regex {
    pub fn new(pattern: &[u8], caseless: bool) -> Result<Regex, String> {
        let flags = Flags { caseless, ..Flags::default() };
        let engine = regex::Regex::compile(pattern, flags).map_err(|error| refusal(pattern, error))?;
        let name = |(name, number): &(Vec<u8>, u32)| (String::from_utf8_lossy(name).into_owned(), *number as usize);
        let names = engine.names().iter().map(name).collect();
        Ok(Regex { pattern: String::from_utf8_lossy(pattern).into_owned(), engine: Arc::new(engine), names })
    }

    pub fn matches(&self, subject: &[u8]) -> Result<bool, Exceeded> {
        self.search(subject, |_| ()).map(|found| found.is_some())
    }

    pub fn captures(&self, subject: &[u8]) -> Result<Option<Captures>, Exceeded> {
        let text = |(from, to): (usize, usize)| subject.get(from..to).map(<[u8]>::to_vec);
        self.search(subject, |places| {
            (0..self.engine.captures_len()).map(|group| places.span(group).and_then(text)).collect()
        })
    }

    fn search<T>(&self, subject: &[u8], found: impl FnOnce(&regex::Captures) -> T) -> Result<Option<T>, Exceeded> {
        PLACES.with_borrow_mut(|places| match self.engine.exec(subject, 0, places, 0) {
            Ok(true) => Ok(Some(found(places))),
            Ok(false) => Ok(None),
            Err(_) => Err(Exceeded(format!(
                "pcre2_match() failed: -47 on \"{}\" using \"{}\"",
                String::from_utf8_lossy(subject),
                self.pattern
            ))),
        })
    }
}

/// nginx's words, with PCRE2's for what is wrong.
fn refusal(pattern: &[u8], error: CompileError) -> String {
    let text = String::from_utf8_lossy(pattern);
    let message = NEWER.iter().find(|(older, _)| *older == error.message).map_or(error.message, |(_, newer)| newer);
    match pattern.get(error.offset..) {
        None | Some(b"") => format!("pcre2_compile() failed: {message} in \"{text}\""),
        Some(rest) => {
            format!("pcre2_compile() failed: {message} in \"{text}\" at \"{}\"", String::from_utf8_lossy(rest))
        }
    }
}

/// What PCRE 8 says, as the engine does, and PCRE2 says in other words.
const NEWER: &[(&str, &str)] = &[
    ("missing )", "missing closing parenthesis"),
    ("unmatched parentheses", "unmatched closing parenthesis"),
    ("nothing to repeat", "quantifier does not follow a repeatable item"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// `(pattern, subject, groups)`
    #[test]
    fn searches() {
        for (pattern, subject, groups) in [
            ("^/a(.*)$", "/a/b", Some("/a/b|/b")),
            ("^/(?!api/).+\\.(?:php)$", "/x.php", Some("/x.php")),
            ("^/(?!api/).+\\.(?:php)$", "/api/x.php", None),
            ("^/(?<lang>[a-z]{2})/\\1$", "/de/de", Some("/de/de|de")),
            ("(?<=a)b|\\Qa.b\\E", "xab", Some("b")),
            ("(x)?y", "y", Some("y|-")),
            ("\\.PHP$", "/x.php", None),
        ] {
            let regex = Regex::new(pattern.as_bytes(), false).unwrap_or_else(|error| panic!("{error}"));
            let found = regex.captures(subject.as_bytes()).unwrap_or_else(|exceeded| panic!("{exceeded:?}"));
            let shown = found.map(|groups| {
                let text =
                    |group: Option<Vec<u8>>| group.map_or("-".into(), |g| String::from_utf8_lossy(&g).into_owned());
                groups.into_iter().map(text).collect::<Vec<_>>().join("|")
            });
            assert_eq!(shown.as_deref(), groups, "{pattern} {subject}");
            assert_eq!(regex.matches(subject.as_bytes()), Ok(groups.is_some()));
        }
        assert!(Regex::new(b"\\.PHP$", true).is_ok_and(|regex| regex.matches(b"/x.php") == Ok(true)));
    }

    #[test]
    fn refusals() {
        for (pattern, words) in [
            ("(a", "pcre2_compile() failed: missing closing parenthesis in \"(a\""),
            ("a)b", "pcre2_compile() failed: unmatched closing parenthesis in \"a)b\" at \")b\""),
            ("*a", "pcre2_compile() failed: quantifier does not follow a repeatable item in \"*a\" at \"*a\""),
        ] {
            let refused = Regex::new(pattern.as_bytes(), false).err();
            assert_eq!(refused.as_deref(), Some(words));
        }
    }
}
