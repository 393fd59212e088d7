//! The lexer: bytes of one configuration file to directives, quoting and escaping exactly as nginx does.
//!
//! A directive's line is the line of its terminator (`;` or `{`), because that is the line nginx names in its messages.
//! Must stay true: the lexer never looks past what it was asked for, so that the Lua scanner (see `lua_block`) can take over
//! right behind a `{`.

pub type Word = Vec<u8>;

#[derive(Debug, PartialEq)]
pub enum Event {
    /// The words of a directive; `block`: it ended with `{` and not with `;`.
    Directive {
        words: Vec<Word>,
        block: bool,
    },
    /// `}`
    BlockEnd,
    Eof,
}

pub struct Lexer<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub line: u32,
    /// The text came from `-g`, not from a file: one message differs.
    pub parameter: bool,
}

impl<'a> Lexer<'a> {
    pub fn new(bytes: &'a [u8]) -> Lexer<'a> {
        let at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Lexer { bytes, at, line: 1, parameter: false }
    }

    fn bump(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        if byte == b'\n' {
            self.line += 1;
        }
        Some(byte)
    }

    /// Reads up to the end of the next directive head.
    pub fn read(&mut self) -> Result<Event, String> {
        let mut words: Vec<Word> = Vec::new();
        loop {
            let Some(byte) = self.bump() else {
                return if words.is_empty() { Ok(Event::Eof) } else { Err(self.unterminated()) };
            };
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b';' | b'{' if words.is_empty() => return Err(format!("unexpected \"{}\"", byte as char)),
                b';' => return Ok(Event::Directive { words, block: false }),
                b'{' => return Ok(Event::Directive { words, block: true }),
                b'}' if words.is_empty() => return Ok(Event::BlockEnd),
                b'}' => return Err("unexpected \"}\"".into()),
                b'#' => {
                    while self.bytes.get(self.at).is_some_and(|&b| b != b'\n') {
                        self.at += 1;
                    }
                }
                b'"' | b'\'' => {
                    words.push(self.quoted(byte)?);
                    match self.bytes.get(self.at) {
                        None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{') => {}
                        // `if ("a" = "b")`: the parenthesis is a word of its own.
                        Some(b')') => {}
                        Some(&other) => return Err(format!("unexpected \"{}\"", other as char)),
                    }
                }
                _ => words.push(self.bare(byte)?),
            }
        }
    }

    fn unterminated(&self) -> String {
        if self.parameter {
            "unexpected end of parameter, expecting \";\"".into()
        } else {
            "unexpected end of file, expecting \";\" or \"}\"".into()
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<Word, String> {
        let start = self.at;
        loop {
            match self.bump() {
                None => return Err(self.unterminated()),
                Some(b'\\') => {
                    self.bump();
                }
                Some(byte) if byte == quote => return Ok(unescape(&self.bytes[start..self.at - 1])),
                Some(_) => {}
            }
        }
    }

    fn bare(&mut self, first: u8) -> Result<Word, String> {
        let start = self.at - 1;
        let mut dollar = first == b'$';
        if first == b'\\' {
            self.bump();
        }
        loop {
            let Some(&byte) = self.bytes.get(self.at) else { return Err(self.unterminated()) };
            match byte {
                // `${name}`
                b'{' if dollar => {}
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' => return Ok(unescape(&self.bytes[start..self.at])),
                b'\\' => {
                    self.bump();
                }
                _ => {}
            }
            dollar = byte == b'$';
            self.bump();
        }
    }
}

/// `\"`, `\'`, `\\` lose the backslash, `\t \r \n` are converted, every other backslash stays.
fn unescape(raw: &[u8]) -> Word {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let escaped = match bytes.peek() {
            Some(&b @ (b'"' | b'\'' | b'\\')) => b,
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            _ => {
                out.push(b'\\');
                continue;
            }
        };
        out.push(escaped);
        bytes.next();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut out = String::new();
        loop {
            match lexer.read() {
                Ok(Event::Eof) => break,
                Ok(Event::BlockEnd) => out.push_str(&format!("{}:}} ", lexer.line)),
                Ok(Event::Directive { words, block }) => {
                    let words: Vec<_> = words.iter().map(|w| String::from_utf8_lossy(w)).collect();
                    out.push_str(&format!("{}:{}{} ", lexer.line, words.join("|"), if block { "{" } else { ";" }));
                }
                Err(error) => {
                    out.push_str(&format!("{}! {error}", lexer.line));
                    break;
                }
            }
        }
        assert_eq!(out.trim_end(), expected);
    }

    #[test]
    fn words_and_quotes() {
        check("a b 'c d' \"e'\";\n# no\nf\n\n{ }", "1:a|b|c d|e'; 5:f{ 5:}");
        check(r#"a "x\"y" '\n' \t\q;"#, "1:a|x\"y|\n|\t\\q;");
        check("return 200 ${x}y;", "1:return|200|${x}y;");
        check("if ($a = \"b\") {", "1:if|($a|=|b|){");
        check("a#b;", "1:a#b;");
    }

    #[test]
    fn errors() {
        check("a \"b\"c;", "1! unexpected \"c\"");
        check("a\nb", "2! unexpected end of file, expecting \";\" or \"}\"");
        check("a }", "1! unexpected \"}\"");
        check("\n;", "2! unexpected \";\"");
        check("a b\n }", "2! unexpected \"}\"");
    }
}
