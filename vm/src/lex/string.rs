//! String literals: quoted with escapes, and long ones with levels; long comments share the latter's scanner.
use super::{Lexer, Token};
use crate::compile::SyntaxError;

impl Lexer<'_> {
    /// The level of the long bracket `[==[` that starts here, its first byte being `[`.
    pub(super) fn long_bracket(&self, from: usize) -> Option<usize> {
        let rest = self.source.get(self.at..)?;
        if rest.first() != Some(&b'[') {
            return None;
        }
        let level = rest[from..].iter().take_while(|&&c| c == b'=').count();
        (rest.get(from + level) == Some(&b'[')).then_some(level)
    }

    /// Takes a long string. Errors quote it with its brackets.
    pub(super) fn long_string(&mut self, level: usize) -> Result<(), SyntaxError> {
        let mut value = Vec::new();
        if !self.long_text(level, Some(&mut value))? {
            return Err(self.error_near(Token::Eof, "unfinished long string"));
        }
        let symbol = self.names.intern(&value);
        let equals = b"=".repeat(level);
        self.raw = [b"[", &equals[..], b"[", &value, b"]", &equals, b"]"].concat();
        self.is(Token::String(symbol))
    }

    pub(super) fn long_comment(&mut self, level: usize) -> Result<(), SyntaxError> {
        if self.long_text(level, None)? { Ok(()) } else { Err(self.error_near(Token::Eof, "unfinished long comment")) }
    }

    /// False if the source ends first. Line breaks of any kind become `\n`; one right after the opening is left out.
    fn long_text(&mut self, level: usize, mut value: Option<&mut Vec<u8>>) -> Result<bool, SyntaxError> {
        self.at += level + 2;
        if matches!(self.peek(), Some(b'\n' | b'\r')) {
            self.newline()?;
        }
        loop {
            let rest = &self.source[self.at..];
            let Some(run) = memchr::memchr3(b']', b'\n', b'\r', rest) else {
                self.at = self.source.len();
                return Ok(false);
            };
            if let Some(value) = value.as_deref_mut() {
                value.extend_from_slice(&rest[..run]);
            }
            self.at += run;
            if rest[run] != b']' {
                self.newline()?;
                if let Some(value) = value.as_deref_mut() {
                    value.push(b'\n');
                }
                continue;
            }
            let equals = rest[run + 1..].iter().take_while(|&&c| c == b'=').count();
            if rest.get(run + 1 + equals) == Some(&b']') && equals == level {
                self.at += level + 2;
                return Ok(true);
            }
            // The `]` after the run may begin the real end: only what is before it is used up.
            if let Some(value) = value.as_deref_mut() {
                value.extend_from_slice(&rest[run..run + 1 + equals]);
            }
            self.at += 1 + equals;
        }
    }

    /// A string in quotes. `raw` collects the opening quote and the text with escapes resolved: what errors quote.
    pub(super) fn quoted(&mut self, quote: u8) -> Result<(), SyntaxError> {
        self.raw.push(quote);
        self.at += 1;
        loop {
            let rest = &self.source[self.at..];
            let run = rest.iter().position(|&c| c == quote || matches!(c, b'\\' | b'\n' | b'\r')).unwrap_or(rest.len());
            self.raw.extend_from_slice(&rest[..run]);
            self.at += run;
            match self.peek() {
                None => return Err(self.error_near(Token::Eof, "unfinished string")),
                Some(b'\n' | b'\r') => return Err(self.error_here("unfinished string")),
                Some(b'\\') => self.escape()?,
                Some(_) => {
                    self.at += 1;
                    let symbol = self.names.intern(&self.raw[1..]);
                    self.raw.push(quote);
                    return self.is(Token::String(symbol));
                }
            }
        }
    }

    /// An error that quotes what of the string has been read.
    fn error_here(&self, message: &str) -> SyntaxError {
        self.error_near(Token::Number(0.0), message)
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        self.at += 1;
        let Some(c) = self.peek() else { return Ok(()) };
        let plain = match c {
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'\\' | b'"' | b'\'' => c,
            b'\n' | b'\r' => {
                self.raw.push(b'\n');
                return self.newline();
            }
            b'z' => return self.skip_space(),
            b'x' => {
                self.at += 1;
                let high = self.hex_digit()?;
                let low = self.hex_digit()?;
                self.raw.push((high << 4 | low) as u8);
                return Ok(());
            }
            b'u' => return self.unicode_escape(),
            b'0'..=b'9' => return self.decimal_escape(),
            _ => return Err(self.error_here("invalid escape sequence")),
        };
        self.at += 1;
        self.raw.push(plain);
        Ok(())
    }

    fn skip_space(&mut self) -> Result<(), SyntaxError> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'\n' | b'\r') => self.newline()?,
                Some(b' ' | b'\t' | 0x0b | 0x0c) => self.at += 1,
                _ => return Ok(()),
            }
        }
    }

    fn hex_digit(&mut self) -> Result<u32, SyntaxError> {
        let digit = self.peek().and_then(|c| char::from(c).to_digit(16));
        self.at += 1;
        digit.ok_or_else(|| self.error_here("invalid escape sequence"))
    }

    fn decimal_escape(&mut self) -> Result<(), SyntaxError> {
        let mut value = 0u32;
        for _ in 0..3 {
            let Some(digit) = self.peek().and_then(|c| char::from(c).to_digit(10)) else { break };
            value = value * 10 + digit;
            self.at += 1;
        }
        if value > 255 {
            return Err(self.error_here("invalid escape sequence"));
        }
        self.raw.push(value as u8);
        Ok(())
    }

    fn unicode_escape(&mut self) -> Result<(), SyntaxError> {
        self.at += 1;
        if !self.take(b'{') {
            return Err(self.error_here("invalid escape sequence"));
        }
        let mut code = 0u32;
        loop {
            code = code << 4 | self.hex_digit()?;
            if code >= 0x11_0000 {
                return Err(self.error_here("invalid escape sequence"));
            }
            if self.take(b'}') {
                break;
            }
        }
        // Surrogates are no characters.
        let Some(character) = char::from_u32(code) else {
            return Err(self.error_here("invalid escape sequence"));
        };
        let mut buffer = [0; 4];
        self.raw.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
        Ok(())
    }
}
