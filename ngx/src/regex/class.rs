//! Bracketed character classes.

use super::ast::Node;
use super::charset::CharSet;
use super::escape::InClass;
use super::parse::{Parse, Parser};

impl<'p> Parser<'p> {
    /// A class, standing at its `[`.
    pub(super) fn class(&mut self) -> Parse<Node> {
        if let Some((mark, _, _)) = self.posix_syntax() {
            return Err(self.error(if mark == b':' {
                "POSIX named classes are supported only within a class"
            } else {
                "POSIX collating elements are not supported"
            }));
        }
        self.at += 1;
        let mut negated = false;
        // Quoting that quotes nothing may stand before the `^`.
        while self.eat_all(b"\\E") || self.eat_all(b"\\Q\\E") || !negated && self.eat(b'^') {
            negated |= self.text[self.at - 1] == b'^';
        }
        if self.javascript && self.eat(b']') {
            return Ok(if negated { Node::Any { newline: true } } else { Node::Fail });
        }
        // Named sets and escapes are as they are; only characters and ranges have their other cases added.
        let mut set = CharSet::default();
        let mut plain = CharSet::default();
        let mut quoted = false;
        let mut first = true;
        loop {
            if self.peek().is_none() {
                return Err(self.error("missing terminating ] for character class"));
            }
            if quoted {
                if self.eat_all(b"\\E") {
                    quoted = false;
                    continue;
                }
            } else if self.eat_all(b"\\E") {
                continue;
            } else if self.eat_all(b"\\Q") {
                quoted = true;
                continue;
            } else if !first && self.eat(b']') {
                break;
            }
            first = false;
            if !quoted && let Some((mark, negated, name)) = self.posix_syntax() {
                let named = self.posix_class(mark, negated, name)?;
                set.add_set(&named);
                continue;
            }
            let low = match self.class_item(quoted)? {
                InClass::Char(char) => char,
                InClass::Set(item) => {
                    set.add_set(&item);
                    continue;
                }
            };
            let high = self.range_end(low, &mut quoted)?;
            plain.add(low, high);
        }
        if self.mode.caseless {
            plain.fold_case(self.utf);
        }
        set.add_set(&plain);
        set.normalise();
        Ok(Node::Set(if negated { set.complement(self.limit()) } else { set }))
    }

    fn class_item(&mut self, quoted: bool) -> Parse<InClass> {
        if !quoted && self.peek() == Some(b'\\') {
            return self.class_escape();
        }
        Ok(InClass::Char(self.next_char()))
    }

    /// The end of the range that starts with `low`; `low` itself when no range follows.
    fn range_end(&mut self, low: u32, quoted: &mut bool) -> Parse<u32> {
        let start = self.at;
        let was_quoted = *quoted;
        while self.eat_all(b"\\E") {
            *quoted = false;
        }
        if *quoted || self.peek() != Some(b'-') {
            return Ok(low);
        }
        self.at += 1;
        while !*quoted && self.eat_all(b"\\E") {}
        if self.eat_all(b"\\Q") {
            *quoted = true;
            while *quoted && self.eat_all(b"\\E") {
                *quoted = false;
            }
        }
        if self.peek().is_none() {
            return Err(self.error("missing terminating ] for character class"));
        }
        if !*quoted && self.peek() == Some(b']') {
            // The hyphen was the class's last character.
            (self.at, *quoted) = (start, was_quoted);
            return Ok(low);
        }
        if !*quoted && self.posix_syntax().is_some() {
            return Err(self.error_at("invalid range in character class", self.at.saturating_sub(1)));
        }
        if !*quoted && self.peek() == Some(b'\\') && self.peek_at(1).is_some_and(|byte| NO_END.contains(&byte)) {
            return Err(self.error_at("invalid range in character class", self.at + 1));
        }
        match self.class_item(*quoted)? {
            InClass::Char(high) if high < low => {
                Err(self.error_at("range out of order in character class", self.at - 1))
            }
            InClass::Char(high) => Ok(high),
            InClass::Set(_) => Err(self.error_at("invalid range in character class", self.at - 1)),
        }
    }

    /// `[:name:]` (or with `.` or `=`) at the position: its mark, whether it is negated, its name.
    fn posix_syntax(&self) -> Option<(u8, bool, &'p [u8])> {
        let text: &'p [u8] = self.text;
        let rest = text[self.at..].strip_prefix(b"[")?;
        let (&mark, rest) = rest.split_first()?;
        if !matches!(mark, b':' | b'.' | b'=') {
            return None;
        }
        let mut end = 0;
        loop {
            match rest.get(end)? {
                b'\\' if matches!(rest.get(end + 1), Some(b']' | b'\\')) => end += 2,
                b']' => return None,
                b'[' if rest.get(end + 1) == Some(&mark) => return None,
                byte if *byte == mark && rest.get(end + 1) == Some(&b']') => break,
                _ => end += 1,
            }
        }
        let name = &rest[..end];
        Some(match name.strip_prefix(b"^") {
            Some(name) if mark == b':' => (mark, true, name),
            _ => (mark, false, name),
        })
    }

    fn posix_class(&mut self, mark: u8, negated: bool, name: &[u8]) -> Parse<CharSet> {
        if mark != b':' {
            return Err(self.error("POSIX collating elements are not supported"));
        }
        let Some(ranges) = POSIX.iter().find(|(known, _)| *known == name).map(|(_, ranges)| *ranges) else {
            return Err(self.error_at("unknown POSIX class name", self.at + 2 + usize::from(negated)));
        };
        let length = name.len() + 4 + usize::from(negated);
        let mut set = CharSet::from_ranges(ranges);
        if self.mode.caseless && matches!(name, b"upper" | b"lower") {
            set = CharSet::from_ranges(ALPHA);
        }
        self.at += length;
        Ok(if negated { set.complement(self.limit()) } else { set })
    }
}

const ALPHA: &[(u32, u32)] = &[(0x41, 0x5a), (0x61, 0x7a)];

const POSIX: [(&[u8], &[(u32, u32)]); 14] = [
    (b"alpha", ALPHA),
    (b"lower", &[(0x61, 0x7a)]),
    (b"upper", &[(0x41, 0x5a)]),
    (b"alnum", &[(0x30, 0x39), (0x41, 0x5a), (0x61, 0x7a)]),
    (b"ascii", &[(0, 0x7f)]),
    (b"blank", &[(9, 9), (0x20, 0x20)]),
    (b"cntrl", &[(0, 0x1f), (0x7f, 0x7f)]),
    (b"digit", &[(0x30, 0x39)]),
    (b"graph", &[(0x21, 0x7e)]),
    (b"print", &[(0x20, 0x7e)]),
    (b"punct", &[(0x21, 0x2f), (0x3a, 0x40), (0x5b, 0x60), (0x7b, 0x7e)]),
    (b"space", &[(9, 13), (0x20, 0x20)]),
    (b"word", &[(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)]),
    (b"xdigit", &[(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)]),
];

/// Escapes that mean more than a character, here or outside of classes: no range ends with them.
const NO_END: &[u8] = b"ABCGKkXRzZpP";
