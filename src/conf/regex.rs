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
        let syntax = syntax::Config::new().case_insensitive(caseless).unicode(false).utf8(false);
        let engine = Engine::builder()
            .configure(Engine::config().utf8_empty(false))
            .syntax(syntax)
            .build(&text)
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

fn reason(error: &regex_automata::meta::BuildError) -> String {
    let Some(error) = error.syntax_error() else { return error.to_string() };
    let text = error.to_string();
    text.rsplit("error: ").next().unwrap_or(&text).trim().to_string()
}
