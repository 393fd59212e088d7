//! Backslash escapes of patterns, inside and outside classes.

use super::ast::{Assert, Name, Node, Ref};
use super::charset::{CharSet, MAX_CHAR};
use super::parse::{Parse, Parser};

/// What an escape inside a class stands for.
pub(super) enum InClass {
    Char(u32),
    Set(CharSet),
}

impl Parser<'_> {
    /// An escape outside a class, standing at its backslash.
    pub(super) fn escape(&mut self) -> Parse<Node> {
        let start = self.at;
        self.at += 1;
        let Some(byte) = self.peek() else { return Err(self.error("\\ at end of pattern")) };
        let caseless = self.mode.caseless;
        let assert = match byte {
            b'A' => Some(Assert::Start),
            b'Z' => Some(Assert::EndOrNewline),
            b'z' => Some(Assert::End),
            b'G' => Some(Assert::From),
            b'b' => Some(Assert::WordBoundary),
            b'B' => Some(Assert::NotWordBoundary),
            _ => None,
        };
        if let Some(assert) = assert {
            self.at += 1;
            return Ok(Node::Assert(assert));
        }
        match byte {
            b'K' => {
                self.at += 1;
                Ok(Node::Keep)
            }
            b'R' => {
                self.at += 1;
                Ok(self.newline())
            }
            b'X' => {
                self.at += 1;
                Ok(Node::Grapheme)
            }
            b'C' => {
                self.at += 1;
                Ok(Node::Byte)
            }
            b'N' => {
                if self.peek_at(1) == Some(b'{') && !self.brace_is_count(2) {
                    return Err(self.error(UNSUPPORTED));
                }
                self.at += 1;
                Ok(Node::Any { newline: false })
            }
            b'g' => self.g_escape(),
            b'k' => {
                let close = match self.peek_at(1) {
                    Some(b'{') => b'}',
                    Some(b'<') => b'>',
                    Some(b'\'') => b'\'',
                    _ => {
                        return Err(self.error("\\k is not followed by a braced, angle-bracketed, or quoted name"));
                    }
                };
                self.at += 2;
                let to = self.reference(close)?;
                Ok(Node::Backref { to, caseless })
            }
            b'1'..=b'9' => {
                let digits = self.at;
                let number = self.number().unwrap_or(0);
                if number < 8 || number <= self.groups {
                    return Ok(Node::Backref {
                        to: Ref { name: Name::Number(number), offset: self.text.len() },
                        caseless,
                    });
                }
                self.at = digits;
                if byte >= b'8' {
                    self.at += 1;
                    return Ok(Node::Char(u32::from(byte), caseless));
                }
                self.octal(3).map(|char| Node::Char(char, caseless))
            }
            _ => {
                self.at = start;
                Ok(match self.shared_escape()? {
                    InClass::Char(char) => Node::Char(char, caseless),
                    InClass::Set(set) => Node::Set(set),
                })
            }
        }
    }

    /// An escape inside a class, standing at its backslash.
    pub(super) fn class_escape(&mut self) -> Parse<InClass> {
        match self.peek_at(1) {
            Some(b'b') => {
                self.at += 2;
                Ok(InClass::Char(8))
            }
            Some(b'N') => {
                self.at += 1;
                if self.peek_at(1) == Some(b'{') {
                    return Err(self.error(UNSUPPORTED));
                }
                Err(self.error("\\N is not supported in a class"))
            }
            Some(byte @ b'1'..=b'9') => {
                self.at += 1;
                if byte >= b'8' {
                    self.at += 1;
                    return Ok(InClass::Char(u32::from(byte)));
                }
                self.octal(3).map(InClass::Char)
            }
            _ => self.shared_escape(),
        }
    }

    /// The escapes that mean the same in and outside classes.
    fn shared_escape(&mut self) -> Parse<InClass> {
        self.at += 1;
        let Some(byte) = self.peek() else { return Err(self.error("\\ at end of pattern")) };
        if self.utf && byte >= 0x80 {
            return Ok(InClass::Char(self.next_char()));
        }
        if matches!(byte, b'L' | b'l' | b'U' | b'u') && !self.javascript {
            return Err(self.error(UNSUPPORTED));
        }
        self.at += 1;
        let char = match byte {
            b'a' => 7,
            b'e' => 27,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'0' => {
                self.at -= 1;
                return self.octal(3).map(InClass::Char);
            }
            b'o' => return self.braced_octal().map(InClass::Char),
            b'x' => return self.hex().map(InClass::Char),
            b'u' => return Ok(InClass::Char(self.fixed_hex(4).unwrap_or(u32::from(b'u')))),
            b'c' => {
                let Some(control) = self.peek() else { return Err(self.error("\\c at end of pattern")) };
                if !control.is_ascii() {
                    return Err(self.error("\\c must be followed by an ASCII character"));
                }
                self.at += 1;
                u32::from(control.to_ascii_uppercase() ^ 0x40)
            }
            b'd' | b'D' | b'w' | b'W' | b's' | b'S' | b'h' | b'H' | b'v' | b'V' => {
                let mut set = self.kind_of_char(byte.to_ascii_lowercase());
                set.cut(self.limit());
                return Ok(InClass::Set(if byte.is_ascii_uppercase() { set.complement(self.limit()) } else { set }));
            }
            b'p' | b'P' => return self.property(byte == b'P').map(InClass::Set),
            _ => u32::from(byte),
        };
        Ok(InClass::Char(char))
    }

    /// `\d`, `\w`, `\s`, `\h` or `\v`.
    pub(super) fn kind_of_char(&self, letter: u8) -> CharSet {
        let property = if self.ucp { UCP.iter().find(|(kind, _)| *kind == letter) } else { None };
        if let Some(set) = property.and_then(|(_, name)| CharSet::property(name)) {
            return set;
        }
        let ranges: &[(u32, u32)] = match letter {
            b'd' => &[(0x30, 0x39)],
            b'w' => &[(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)],
            b's' => &[(9, 13), (0x20, 0x20)],
            b'h' => HORIZONTAL,
            _ => VERTICAL,
        };
        CharSet::from_ranges(ranges)
    }

    /// `\g1`, `\g{-1}`, `\g{name}`: a back reference; `\g<1>`, `\g'name'`: a call.
    fn g_escape(&mut self) -> Parse<Node> {
        const MALFORMED: &str =
            "\\g is not followed by a braced, angle-bracketed, or quoted name/number or by a plain number";
        let caseless = self.mode.caseless;
        let letter = self.at;
        self.at += 1;
        let close = match self.peek() {
            Some(b'<') => Some(b'>'),
            Some(b'\'') => Some(b'\''),
            _ => None,
        };
        if let Some(close) = close {
            self.at += 1;
            let sign = self.peek().filter(|byte| matches!(byte, b'+' | b'-'));
            let number_at = self.at;
            self.at += usize::from(sign.is_some());
            if let Some(number) = self.number() {
                if !self.eat(close) {
                    return Err(self.error_at(MALFORMED, letter + 1));
                }
                let number = self.relative(sign, number)?;
                return Ok(Node::Call(Ref { name: Name::Number(number), offset: self.at - 1 }));
            }
            self.at = number_at;
            if self.peek().is_none() {
                return Err(self.error("subpattern name expected"));
            }
            return self.reference(close).map(Node::Call);
        }
        let braced = self.eat(b'{');
        let inside = self.text[self.at..].iter().find(|byte| !byte.is_ascii_digit() && **byte != b'-');
        if braced && inside.is_some_and(|byte| *byte != b'}') {
            let to = self.reference(b'}')?;
            return Ok(Node::Backref { to, caseless });
        }
        let sign = self.peek().filter(|&byte| byte == b'-');
        self.at += usize::from(sign.is_some());
        let Some(number) = self.number() else {
            if braced && !self.eat(b'}') {
                return Err(self.error(MALFORMED));
            }
            return Err(self.error_at("a numbered reference must not be zero", self.at - 1));
        };
        if braced && !self.eat(b'}') {
            return Err(self.error(MALFORMED));
        }
        if number == 0 {
            return Err(self.error_at("a numbered reference must not be zero", self.at - 1));
        }
        let number = self.relative(sign, number)?;
        Ok(Node::Backref { to: Ref { name: Name::Number(number), offset: self.text.len() }, caseless })
    }

    /// A group number that may be written relative to the groups opened so far.
    fn relative(&self, sign: Option<u8>, number: u32) -> Parse<u32> {
        let number = match sign {
            None => Some(number),
            Some(_) if number == 0 => return Err(self.error("a numbered reference must not be zero")),
            Some(b'+') => Some(self.groups.saturating_add(number)),
            Some(_) => (self.groups + 1).checked_sub(number).filter(|&number| number > 0),
        };
        number.ok_or_else(|| self.error_at("reference to non-existent subpattern", self.at - 1))
    }

    fn octal(&mut self, digits: usize) -> Parse<u32> {
        let mut char = 0;
        for _ in 0..digits {
            let Some(digit @ b'0'..=b'7') = self.peek() else { break };
            char = char * 8 + u32::from(digit - b'0');
            self.at += 1;
        }
        if char > self.limit() {
            return Err(
                self.error_at("octal value is greater than \\377 in 8-bit non-UTF-8 mode", self.at.saturating_sub(1))
            );
        }
        Ok(char)
    }

    fn braced_octal(&mut self) -> Parse<u32> {
        if !self.eat(b'{') {
            return Err(self.error_at("missing opening brace after \\o", self.at - 1));
        }
        if self.peek() == Some(b'}') {
            return Err(self.error_at("digits missing in \\x{} or \\o{}", self.at - 2));
        }
        self.braced(8, "non-octal character in \\o{} (closing brace missing?)")
    }

    fn hex(&mut self) -> Parse<u32> {
        if self.javascript {
            return Ok(self.fixed_hex(2).unwrap_or(u32::from(b'x')));
        }
        if self.eat(b'{') {
            return self.braced(16, "non-hex character in \\x{} (closing brace missing?)");
        }
        let mut char = 0;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else { break };
            char = char * 16 + digit;
            self.at += 1;
        }
        Ok(char)
    }

    fn braced(&mut self, radix: u32, malformed: &'static str) -> Parse<u32> {
        let mut char = 0u32;
        let start = self.at;
        while let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(radix)) {
            char = char.saturating_mul(radix).saturating_add(digit);
            self.at += 1;
        }
        if char > self.limit() {
            return Err(self.error("character value in \\x{} or \\o{} is too large"));
        }
        if self.at == start && self.peek() == Some(b'}') {
            return Err(self.error("digits missing in \\x{} or \\o{}"));
        }
        if self.at == start || !self.eat(b'}') {
            return Err(self.error(malformed));
        }
        if self.utf && (0xd800..=0xdfff).contains(&char) {
            return Err(self.error_at("disallowed Unicode code point (>= 0xd800 && <= 0xdfff)", self.at - 1));
        }
        Ok(char)
    }

    /// Exactly `digits` hexadecimal digits, as JavaScript has them; nothing is read otherwise.
    fn fixed_hex(&mut self, digits: usize) -> Option<u32> {
        let text = self.text.get(self.at..self.at + digits)?;
        let char = text
            .iter()
            .try_fold(0, |char, &byte| Some(char * 16 + char::from(byte).to_digit(16)?))
            .filter(|&char: &u32| char <= self.limit())?;
        self.at += digits;
        Some(char)
    }

    /// `\pL`, `\p{Lu}`, `\p{^Greek}`, standing behind the letter.
    fn property(&mut self, negated: bool) -> Parse<CharSet> {
        const MALFORMED: &str = "malformed \\P or \\p sequence";
        let mut negated = negated;
        let name = if self.eat(b'{') {
            negated ^= self.eat(b'^');
            let rest = &self.text[self.at..];
            let end = memchr::memchr(b'}', &rest[..rest.len().min(MAX_PROPERTY)]);
            let Some(end) = end else {
                return Err(self.error_at(MALFORMED, self.text.len().min(self.at + MAX_PROPERTY - 1)));
            };
            self.at += end + 1;
            &rest[..end]
        } else {
            if self.peek().is_none() {
                return Err(self.error(MALFORMED));
            }
            self.at += 1;
            &self.text[self.at - 1..self.at]
        };
        let set = std::str::from_utf8(name).ok().and_then(CharSet::property);
        let Some(mut set) = set else {
            return Err(self.error_at("unknown property name after \\P or \\p", self.at - 1));
        };
        set.cut(self.limit());
        Ok(if negated { set.complement(self.limit()) } else { set })
    }

    /// Whether `{` at this distance starts a quantifier.
    fn brace_is_count(&self, ahead: usize) -> bool {
        let rest = &self.text[(self.at + ahead).min(self.text.len())..];
        let Some(end) = memchr::memchr(b'}', rest) else { return false };
        rest.first().is_some_and(u8::is_ascii_digit)
            && rest[..end].iter().all(|byte| byte.is_ascii_digit() || *byte == b',')
    }
}

/// Room for a property's name and what ends it.
const MAX_PROPERTY: usize = 31;
const UNSUPPORTED: &str = "PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u";

const UCP: [(u8, &str); 3] = [(b'd', "Nd"), (b'w', "Xwd"), (b's', "Xps")];

const HORIZONTAL: &[(u32, u32)] = &[
    (9, 9),
    (0x20, 0x20),
    (0xa0, 0xa0),
    (0x1680, 0x1680),
    (0x180e, 0x180e),
    (0x2000, 0x200a),
    (0x202f, 0x202f),
    (0x205f, 0x205f),
    (0x3000, 0x3000),
];

const VERTICAL: &[(u32, u32)] = &[(10, 13), (0x85, 0x85), (0x2028, 0x2029)];

const _: () = assert!(MAX_CHAR < u32::MAX / 16);
