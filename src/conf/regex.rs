//! Regular expressions of the configuration (`location ~`, `rewrite`, `if ~`, `map`, `server_name ~`) behind one small type, so
//! that the engine can be exchanged in one place.
//!
//! nginx's own are PCRE; this engine is linear-time and lacks back references and look-around, which it refuses when the
//! configuration is read.

use regex_automata::meta::Regex as Engine;
use regex_automata::util::syntax;

#[derive(Clone, Debug)]
pub struct Regex {
    pub pattern: String,
    engine: Engine,
    /// Group names with their numbers: each becomes a variable.
    pub names: Vec<(String, usize)>,
}

/// The captured texts: group 0 first; None: the group took no part.
pub type Captures = Vec<Option<Vec<u8>>>;

impl Regex {
    pub fn new(pattern: &[u8], caseless: bool) -> Result<Regex, String> {
        let text = String::from_utf8_lossy(pattern).into_owned();
        let plain = translated(&text);
        let syntax = syntax::Config::new().case_insensitive(caseless).unicode(false).utf8(false);
        let engine = Engine::builder()
            .configure(Engine::config().utf8_empty(false))
            .syntax(syntax)
            .build(&plain)
            .map_err(|error| format!("pcre2_compile() failed: {} in \"{text}\"", reason(&error)))?;
        let names = engine
            .group_info()
            .pattern_names(regex_automata::PatternID::ZERO)
            .enumerate()
            .filter_map(|(number, name)| Some((name?.to_string(), number)))
            .collect();
        Ok(Regex { pattern: text, engine, names })
    }

    pub fn matches(&self, subject: &[u8]) -> bool {
        self.engine.is_match(subject)
    }

    pub fn captures(&self, subject: &[u8]) -> Option<Captures> {
        if self.engine.captures_len() == 1 {
            let found = self.engine.find(subject)?;
            return Some(vec![Some(subject[found.range()].to_vec())]);
        }
        let mut slots = self.engine.create_captures();
        self.engine.captures(subject, &mut slots);
        if !slots.is_match() {
            return None;
        }
        Some(slots.iter().map(|group| group.map(|span| subject[span.range()].to_vec())).collect())
    }
}

/// PCRE's notations that this engine does not know: `\Q...\E` stands for the text itself, `\p{..}` needs no switch.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let class = from.as_bytes().get(1).is_some_and(|b| matches!(b, b'p' | b'P'));
        if class {
            // Unicode classes are known in Unicode's mode only.
            let end = if from[2..].starts_with('{') {
                from.find('}').map_or(from.len(), |at| at + 1)
            } else {
                from.len().min(3)
            };
            out.push_str("(?u:");
            out.push_str(from.get(..end).unwrap_or(from));
            out.push(')');
            rest = from.get(end..).unwrap_or_default();
            continue;
        }
        let Some(quoted) = from.strip_prefix("\\Q") else {
            // Any other escape goes as it is, with the character it is about.
            let end = from.char_indices().nth(2).map_or(from.len(), |(end, _)| end);
            out.push_str(&from[..end]);
            rest = &from[end..];
            continue;
        };
        let (text, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
        for letter in text.chars() {
            if letter.is_ascii_punctuation() {
                out.push('\\');
            }
            out.push(letter);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn reason(error: &regex_automata::meta::BuildError) -> String {
    let Some(error) = error.syntax_error() else { return error.to_string() };
    let text = error.to_string();
    text.rsplit("error: ").next().unwrap_or(&text).trim().to_string()
}
