//! Source bytes to tokens, one at a time, with at most one token of look-ahead.
//!
//! `line` is the line where the newest token ended and `last_line` that of the last token taken: the parser stamps
//! instructions with the latter and errors with the former, which is how LuaJIT counts. `raw` is the newest token's text
//! as messages quote it (escapes already resolved).
pub mod names;
pub mod number;
mod string;
pub mod token;

use std::mem::replace;

use crate::compile::SyntaxError;
use names::Names;
use number::Number;
pub use token::Token;

pub struct Lexer<'s> {
    source: &'s [u8],
    at: usize,
    chunk_name: &'s [u8],
    pub names: Names,
    pub token: Token,
    ahead: Option<Token>,
    pub line: u32,
    pub last_line: u32,
    raw: Vec<u8>,
}

/// Where a lexer is in its source (of at most `Names::MOST` bytes).
#[derive(Clone, Copy)]
pub struct Place {
    pub at: u32,
    line: u32,
    last_line: u32,
}

pub(crate) fn is_name_byte(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_' || c >= 0x80
}

impl<'s> Lexer<'s> {
    /// A lexer before its first token. A first line that begins with `#` is skipped.
    pub fn new(source: &'s [u8], chunk_name: &'s [u8], first_line: u32) -> Lexer<'s> {
        let mut lexer = Lexer {
            source,
            at: 0,
            chunk_name,
            names: Names::default(),
            token: Token::Eof,
            ahead: None,
            line: first_line,
            last_line: first_line,
            raw: Vec::new(),
        };
        if source.starts_with(b"\xef\xbb\xbf") {
            lexer.at = 3;
        }
        if lexer.peek() == Some(b'#') {
            lexer.skip_to_line_end();
        }
        lexer
    }

    /// Takes the current token and reads the next one.
    pub fn advance(&mut self) -> Result<(), SyntaxError> {
        self.last_line = self.line;
        match self.ahead.take() {
            Some(token) => self.is(token),
            None => self.scan(),
        }
    }

    /// The token after the current one.
    pub fn look_ahead(&mut self) -> Result<Token, SyntaxError> {
        if let Some(token) = self.ahead {
            return Ok(token);
        }
        let current = self.token;
        self.scan()?;
        let ahead = replace(&mut self.token, current);
        self.ahead = Some(ahead);
        Ok(ahead)
    }

    /// Behind the current token, which must be the newest one.
    pub fn place(&self) -> Place {
        Place { at: self.at as u32, line: self.line, last_line: self.last_line }
    }

    /// Goes to a place that was behind such a token.
    pub fn go(&mut self, place: Place, token: Token) {
        (self.at, self.line, self.last_line) = (place.at as usize, place.line, place.last_line);
        (self.token, self.ahead) = (token, None);
    }

    /// `CHUNK:LINE: MESSAGE near 'TOKEN'` at the newest token.
    pub fn error_near(&self, token: Token, message: &str) -> SyntaxError {
        let spelled = match token {
            Token::Name(_) | Token::String(_) | Token::Number(_) | Token::Int64 { .. } => {
                let end = self.raw.iter().position(|&c| c == 0).unwrap_or(self.raw.len());
                self.raw[..end].to_vec()
            }
            Token::Stray(c) if c >= 0x20 && c != 0x7f => vec![c],
            _ => token.text().into_bytes(),
        };
        let mut error = self.error_at(self.line, message.as_bytes());
        // (LuaJIT takes a zero byte for no token at all)
        if let Token::Stray(0) = token {
            return error;
        }
        error.message.extend_from_slice(b" near '");
        error.message.extend_from_slice(&spelled);
        error.message.push(b'\'');
        error
    }

    /// `CHUNK:LINE: MESSAGE`.
    pub fn error_at(&self, line: u32, message: &[u8]) -> SyntaxError {
        SyntaxError::at(self.chunk_name, line, message)
    }

    fn peek(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    fn peek_after(&self, n: usize) -> Option<u8> {
        self.source.get(self.at + n).copied()
    }

    /// Takes `c` if it is next.
    fn take(&mut self, c: u8) -> bool {
        let there = self.peek() == Some(c);
        self.at += usize::from(there);
        there
    }

    /// Takes one line break: `\n`, `\r`, `\r\n` or `\n\r`.
    fn newline(&mut self) -> Result<(), SyntaxError> {
        let first = self.peek();
        self.at += 1;
        if let Some(second @ (b'\n' | b'\r')) = self.peek()
            && first != Some(second)
        {
            self.at += 1;
        }
        self.line += 1;
        if self.line >= 0x7fff_ff00 {
            return Err(self.error_near(self.token, "chunk has too many lines"));
        }
        Ok(())
    }

    fn skip_to_line_end(&mut self) {
        let rest = &self.source[self.at..];
        self.at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
    }

    /// The newest token. (Written where it stays: a copy of one that has just been put together, byte by byte, has to wait for that.)
    #[inline(always)]
    fn is(&mut self, token: Token) -> Result<(), SyntaxError> {
        self.token = token;
        Ok(())
    }

    fn scan(&mut self) -> Result<(), SyntaxError> {
        self.raw.clear();
        loop {
            let Some(c) = self.peek() else { return self.is(Token::Eof) };
            match c {
                b'\n' | b'\r' => self.newline()?,
                b' ' | b'\t' | 0x0b | 0x0c => self.at += 1,
                b'0'..=b'9' => return self.numeral(),
                _ if is_name_byte(c) => return self.word(),
                b'-' if self.peek_after(1) == Some(b'-') => self.comment()?,
                b'"' | b'\'' => return self.quoted(c),
                b'[' => {
                    if let Some(level) = self.long_bracket(1) {
                        return self.long_string(level);
                    }
                    if self.peek_after(1) == Some(b'=') {
                        let run = self.source[self.at + 1..].iter().take_while(|&&c| c == b'=').count();
                        self.raw.extend_from_slice(&self.source[self.at..self.at + 1 + run]);
                        self.at += 1 + run;
                        return Err(self.error_near(Token::Number(0.0), "invalid long string delimiter"));
                    }
                    self.at += 1;
                    return self.is(Token::LeftBracket);
                }
                b'.' => {
                    if self.peek_after(1).is_some_and(|c| c.is_ascii_digit()) {
                        return self.numeral();
                    }
                    self.at += 1;
                    if !self.take(b'.') {
                        return self.is(Token::Dot);
                    }
                    return if self.take(b'.') { self.is(Token::Dots) } else { self.is(Token::Concat) };
                }
                _ => {
                    self.at += 1;
                    return self.operator(c);
                }
            }
        }
    }

    fn operator(&mut self, c: u8) -> Result<(), SyntaxError> {
        match c {
            b'+' => self.is(Token::Plus),
            b'-' => self.is(Token::Minus),
            b'*' => self.is(Token::Star),
            b'/' => self.is(Token::Slash),
            b'%' => self.is(Token::Percent),
            b'^' => self.is(Token::Caret),
            b'#' => self.is(Token::Hash),
            b'(' => self.is(Token::LeftParen),
            b')' => self.is(Token::RightParen),
            b'{' => self.is(Token::LeftBrace),
            b'}' => self.is(Token::RightBrace),
            b']' => self.is(Token::RightBracket),
            b';' => self.is(Token::Semicolon),
            b',' => self.is(Token::Comma),
            b'=' if self.take(b'=') => self.is(Token::Equal),
            b'=' => self.is(Token::Assign),
            b'<' if self.take(b'=') => self.is(Token::LessEqual),
            b'<' => self.is(Token::Less),
            b'>' if self.take(b'=') => self.is(Token::GreaterEqual),
            b'>' => self.is(Token::Greater),
            b'~' if self.take(b'=') => self.is(Token::NotEqual),
            b':' if self.take(b':') => self.is(Token::Label),
            b':' => self.is(Token::Colon),
            _ => self.is(Token::Stray(c)),
        }
    }

    fn word(&mut self) -> Result<(), SyntaxError> {
        let rest = &self.source[self.at..];
        let length = rest.iter().position(|&c| !is_name_byte(c)).unwrap_or(rest.len());
        let text = &rest[..length];
        self.raw.extend_from_slice(text);
        self.at += length;
        if let Some(keyword) = Token::keyword(text) {
            return self.is(keyword);
        }
        let name = self.names.intern(text);
        self.is(Token::Name(name))
    }

    fn numeral(&mut self) -> Result<(), SyntaxError> {
        let exponent_mark = match (self.peek(), self.peek_after(1)) {
            (Some(b'0'), Some(b'x' | b'X')) => b'p',
            _ => b'e',
        };
        let mut last = 0;
        while let Some(c) = self.peek() {
            let sign_of_exponent = matches!(c, b'+' | b'-') && last | 0x20 == exponent_mark;
            if !(is_name_byte(c) || c == b'.' || sign_of_exponent) {
                break;
            }
            self.raw.push(c);
            self.at += 1;
            last = c;
        }
        if let Some(n) = number::few_digits(&self.raw) {
            return self.is(Token::Number(n));
        }
        match number::parse_literal(&self.raw) {
            Some(Number::Double(n)) => self.is(Token::Number(n)),
            Some(Number::Int64 { bits, unsigned }) => self.is(Token::Int64 { bits, unsigned }),
            // (LuaJIT's own answer where it is built without the FFI, which such numbers belong to)
            Some(Number::Imaginary(_)) | None => Err(self.error_near(Token::Number(0.0), "malformed number")),
        }
    }

    fn comment(&mut self) -> Result<(), SyntaxError> {
        self.at += 2;
        if let Some(level) = self.long_bracket(1) {
            return self.long_comment(level);
        }
        self.skip_to_line_end();
        Ok(())
    }
}
