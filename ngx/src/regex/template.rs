//! Replacement templates of `ngx.re.sub` and `gsub`: text with `$1`, `${1}` and `$$`.
//!
//! `$0` is the whole match; a group that took no part, or that the pattern does not have, is the empty string. Names
//! are refused, in lua-nginx-module's words: what `TemplateError` displays goes to the error log, and Lua gets
//! `LUA_ERROR`.

use super::Captures;

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Group(usize),
}

/// Why a template was refused. The bytes are those of the name, or of the whole template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    BracketMissing(Vec<u8>),
    NamedCapture(Vec<u8>),
    InvalidName(Vec<u8>),
}

/// What `ngx.re.sub` returns as its error for any refused template.
pub const LUA_ERROR: &str = "failed to compile the replacement template";

impl Template {
    pub fn compile(text: &[u8]) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((&first, tail)) = rest.split_first() {
            if first != b'$' {
                let end = memchr::memchr(b'$', rest).unwrap_or(rest.len());
                push_text(&mut parts, &rest[..end]);
                rest = &rest[end..];
                continue;
            }
            if let Some(after) = tail.strip_prefix(b"$") {
                push_text(&mut parts, b"$");
                rest = after;
                continue;
            }
            let inside = tail.strip_prefix(b"{");
            let name = inside.unwrap_or(tail);
            let Some(lead) = name.first() else { return Err(TemplateError::InvalidName(text.to_vec())) };
            let number = lead.is_ascii_digit();
            let belongs = |byte: &u8| {
                if number { byte.is_ascii_digit() } else { byte.is_ascii_alphanumeric() || *byte == b'_' }
            };
            let (name, after) = name.split_at(name.iter().position(|byte| !belongs(byte)).unwrap_or(name.len()));
            rest = match inside {
                None => after,
                Some(_) => after.strip_prefix(b"}").ok_or_else(|| TemplateError::BracketMissing(name.to_vec()))?,
            };
            if name.is_empty() {
                return Err(TemplateError::InvalidName(text.to_vec()));
            }
            if !number {
                return Err(TemplateError::NamedCapture(name.to_vec()));
            }
            let group = name
                .iter()
                .fold(0usize, |group, digit| group.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
            parts.push(Part::Group(group));
        }
        Ok(Template { parts })
    }

    /// The template's text if it has no groups, as `gsub` can then copy it.
    pub fn as_text(&self) -> Option<&[u8]> {
        match self.parts.as_slice() {
            [] => Some(b""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the replacement for a match of `captures` in `subject`.
    pub fn expand(&self, subject: &[u8], captures: &Captures, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Group(group) => {
                    let span = captures.span(*group);
                    out.extend_from_slice(span.and_then(|(start, end)| subject.get(start..end)).unwrap_or_default());
                }
            }
        }
    }
}

fn push_text(parts: &mut Vec<Part>, more: &[u8]) {
    match parts.last_mut() {
        Some(Part::Text(text)) => text.extend_from_slice(more),
        _ => parts.push(Part::Text(more.to_vec())),
    }
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            TemplateError::BracketMissing(name) => {
                write!(f, "the closing bracket in \"{}\" variable is missing", text(name))
            }
            TemplateError::NamedCapture(name) => write!(
                f,
                "attempt to use named capturing variable \"{}\" (named captures not supported yet)",
                text(name)
            ),
            TemplateError::InvalidName(template) => {
                write!(f, "lua script: invalid capturing variable name found in \"{}\"", text(template))
            }
        }
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::super::{Flags, Regex};
    use super::*;

    fn check(template: &str, expected: &str) {
        let regex = Regex::compile(b"(b)(x)?(c)", Flags::default()).unwrap();
        let (subject, mut captures) = (b"abcd", Captures::new());
        assert_eq!(regex.exec(subject, 0, &mut captures, 0), Ok(true));
        let found = match Template::compile(template.as_bytes()) {
            Err(error) => error.to_string(),
            Ok(template) => {
                let mut out = Vec::new();
                template.expand(subject, &captures, &mut out);
                String::from_utf8(out).unwrap()
            }
        };
        assert_eq!(found, expected, "{template}");
    }

    #[test]
    fn templates() {
        check("", "");
        check("plain", "plain");
        check("<$0|$1|$2|$3|$9>", "<bc|b||c|>");
        check("${1}1$$${3}", "b1$c");
        check("$1$1a", "bba");
        check("$12", "");
        check("a$", "lua script: invalid capturing variable name found in \"a$\"");
        check("${", "lua script: invalid capturing variable name found in \"${\"");
        check("$ x", "lua script: invalid capturing variable name found in \"$ x\"");
        check("${}", "lua script: invalid capturing variable name found in \"${}\"");
        check("$name", "attempt to use named capturing variable \"name\" (named captures not supported yet)");
        check("${name}", "attempt to use named capturing variable \"name\" (named captures not supported yet)");
        check("${1a}", "the closing bracket in \"1\" variable is missing");
        check("${1", "the closing bracket in \"1\" variable is missing");
    }

    #[test]
    fn constant_templates() {
        assert_eq!(Template::compile(b"a$$b").unwrap().as_text(), Some(&b"a$b"[..]));
        assert_eq!(Template::compile(b"").unwrap().as_text(), Some(&b""[..]));
        assert_eq!(Template::compile(b"a$1").unwrap().as_text(), None);
    }
}
