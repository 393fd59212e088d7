//! Patterns to trees: PCRE's syntax, its leniencies and the words and offsets of its errors.
//!
//! Offsets point where PCRE's scanner stands when it gives up, which is what OpenResty users see. Nesting is limited
//! to PCRE's own 250, so the recursion over groups here and in the compiler is bounded. Escapes are in `escape`,
//! classes in `class`.

mod group;

use super::ast::{Assert, Kind, Name, Node, Ref};
use super::charset::{self, CharSet, MAX_CHAR};
use super::{CompileError, Flags};

/// What parsing finds out.
pub struct Parsed {
    pub node: Node,
    /// Of the pattern, in bytes.
    pub length: usize,
    /// Where parsing ended: before a `)` that nothing opened, or at the end.
    pub end: usize,
    /// A conditional has too many alternatives.
    pub too_many: Option<CompileError>,
    /// Number of capturing groups.
    pub groups: u32,
    /// Names and their groups, in order of appearance; a name may come twice.
    pub names: Vec<(Vec<u8>, u32)>,
    pub utf: bool,
    /// `(*LIMIT_MATCH=n)`.
    pub match_limit: Option<u64>,
}

pub struct Parser<'p> {
    pub(super) text: &'p [u8],
    pub(super) at: usize,
    pub(super) mode: Mode,
    pub(super) utf: bool,
    /// `(*UCP)`: properties decide what `\w`, `\d` and `\s` match.
    pub(super) ucp: bool,
    pub(super) javascript: bool,
    pub(super) groups: u32,
    dollar_end_only: bool,
    newline_any: bool,
    names: Vec<(Vec<u8>, u32)>,
    depth: u32,
    /// Where the alternatives of the group that was left last end.
    ends: Vec<usize>,
    /// The first conditional with too many alternatives.
    too_many: Option<CompileError>,
    match_limit: Option<u64>,
}

/// The options that a pattern can change on its way.
#[derive(Clone, Copy)]
pub(super) struct Mode {
    pub caseless: bool,
    multiline: bool,
    dotall: bool,
    extended: bool,
    ungreedy: bool,
    dup_names: bool,
}

pub(super) type Parse<T> = Result<T, CompileError>;

/// Parses a whole pattern.
pub fn parse(text: &[u8], flags: Flags) -> Parse<Parsed> {
    let mode = Mode {
        caseless: flags.caseless,
        multiline: flags.multiline,
        dotall: flags.dotall,
        extended: flags.extended,
        ungreedy: flags.ungreedy,
        dup_names: flags.dup_names,
    };
    let mut parser = Parser {
        text,
        at: 0,
        mode,
        utf: flags.utf,
        ucp: false,
        javascript: flags.javascript_compat,
        groups: 0,
        dollar_end_only: flags.dollar_end_only,
        newline_any: true,
        names: Vec::new(),
        depth: 0,
        ends: Vec::new(),
        too_many: None,
        match_limit: None,
    };
    parser.prefixes()?;
    if parser.utf
        && let Err(error) = std::str::from_utf8(text)
    {
        return Err(CompileError { message: "invalid UTF-8 string", offset: error.valid_up_to() });
    }
    let node = choice(parser.alternatives(false)?);
    let Parser { at: end, too_many, groups, names, utf, match_limit, .. } = parser;
    Ok(Parsed { node, length: text.len(), end, too_many, groups, names, utf, match_limit })
}

impl<'p> Parser<'p> {
    pub(super) fn error(&self, message: &'static str) -> CompileError {
        CompileError { message, offset: self.at }
    }

    pub(super) fn error_at(&self, message: &'static str, offset: usize) -> CompileError {
        CompileError { message, offset }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(super) fn eat_all(&mut self, text: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    pub(super) fn limit(&self) -> u32 {
        if self.utf { MAX_CHAR } else { 0xff }
    }

    /// The next character of the pattern, which must not be at its end.
    pub(super) fn next_char(&mut self) -> u32 {
        let (char, len) =
            if self.utf { charset::decode(self.text, self.at) } else { (u32::from(self.text[self.at]), 1) };
        self.at += len;
        char
    }

    /// A decimal number; `None` when no digit stands here. Held below `u32::MAX`.
    pub(super) fn number(&mut self) -> Option<u32> {
        let start = self.at;
        let mut number = 0u32;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            number = number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
            self.at += 1;
        }
        (self.at > start).then_some(number)
    }

    /// `(*UTF8)` and its like, which may only stand first.
    fn prefixes(&mut self) -> Parse<()> {
        loop {
            if self.eat_all(b"(*UTF8)") || self.eat_all(b"(*UTF)") {
                self.utf = true;
            } else if self.eat_all(b"(*UCP)") {
                self.ucp = true;
            } else if self.eat_all(b"(*BSR_ANYCRLF)") {
                self.newline_any = false;
            } else if self.eat_all(b"(*BSR_UNICODE)") {
                self.newline_any = true;
            } else if self.eat_all(b"(*LIMIT_MATCH=") {
                self.match_limit = self.number().map(u64::from);
                if self.match_limit.is_none() || !self.eat(b')') {
                    return Err(self.error("(*VERB) not recognized or malformed"));
                }
            } else if ![&b"(*LF)"[..], b"(*NO_START_OPT)", b"(*NO_AUTO_POSSESS)"].iter().any(|word| self.eat_all(word))
            {
                return Ok(());
            }
        }
    }

    /// Alternatives up to `)` or the end. `reset` gives every alternative the same group numbers, as `(?|` does.
    fn alternatives(&mut self, reset: bool) -> Parse<Vec<Node>> {
        let first_group = self.groups;
        let mut last_group = self.groups;
        let (mut branches, mut ends) = (Vec::new(), Vec::new());
        loop {
            branches.push(self.branch()?);
            ends.push(self.at);
            last_group = last_group.max(self.groups);
            if !self.eat(b'|') {
                self.groups = last_group;
                self.ends = ends;
                return Ok(branches);
            }
            if reset {
                self.groups = first_group;
            }
        }
    }

    fn branch(&mut self) -> Parse<Node> {
        let mut items = Vec::new();
        let mut repeatable = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'|' | b')' => break,
                b'*' | b'+' | b'?' => self.quantifier(&mut items, &mut repeatable)?,
                b'{' if self.counts().is_some() => self.quantifier(&mut items, &mut repeatable)?,
                _ if self.mode.extended && self.skip_blank() => {}
                b'\\' if self.peek_at(1) == Some(b'Q') => {
                    self.at += 2;
                    while self.at < self.text.len() && !self.eat_all(b"\\E") {
                        let char = self.next_char();
                        items.push(Node::Char(char, self.mode.caseless));
                        repeatable = true;
                    }
                }
                b'\\' if self.peek_at(1) == Some(b'E') => self.at += 2,
                b'\\' => {
                    let node = self.escape()?;
                    repeatable = !matches!(node, Node::Assert(_) | Node::Keep);
                    items.push(node);
                }
                b'(' => {
                    // A comment may stand between an item and its quantifier, options may not.
                    let rest = &self.text[self.at..];
                    let comment = rest.starts_with(b"(?#");
                    let failure = rest.starts_with(b"(?!)");
                    if let Some((node, can_repeat)) = self.group()? {
                        repeatable = can_repeat && !(failure && node == Node::Fail);
                        items.push(node);
                    } else if !comment {
                        repeatable = false;
                    }
                }
                b'[' => {
                    items.push(self.class()?);
                    repeatable = true;
                }
                b'.' => {
                    self.at += 1;
                    items.push(Node::Any { newline: self.mode.dotall });
                    repeatable = true;
                }
                b'^' | b'$' => {
                    self.at += 1;
                    items.push(Node::Assert(self.anchor(byte)));
                    repeatable = false;
                }
                b']' if self.javascript => {
                    return Err(self.error("] is an invalid data character in JavaScript compatibility mode"));
                }
                _ => {
                    let char = self.next_char();
                    items.push(Node::Char(char, self.mode.caseless));
                    repeatable = true;
                }
            }
        }
        Ok(match items.pop() {
            None => Node::Empty,
            Some(only) if items.is_empty() => only,
            Some(last) => {
                items.push(last);
                Node::Concat(items)
            }
        })
    }

    /// Skips a white space character or a comment of extended mode.
    fn skip_blank(&mut self) -> bool {
        match self.peek() {
            Some(b' ' | b'\t'..=b'\r') => self.at += 1,
            Some(b'#') => {
                let rest = &self.text[self.at..];
                self.at += memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            }
            _ => return false,
        }
        true
    }

    fn anchor(&self, byte: u8) -> Assert {
        match byte {
            b'^' if self.mode.multiline => Assert::LineStart,
            b'^' => Assert::Start,
            _ if self.mode.multiline => Assert::LineEnd,
            _ if self.dollar_end_only => Assert::End,
            _ => Assert::EndOrNewline,
        }
    }

    /// `{n}`, `{n,}` or `{n,m}` at `at`, without reading it: minimum, maximum, length.
    fn counts(&self) -> Option<(u32, Option<u32>, usize)> {
        let mut look = Parser { text: self.text, names: Vec::new(), ends: Vec::new(), ..*self };
        look.eat(b'{');
        let min = look.number()?;
        let mut max = Some(min);
        if look.eat(b',') {
            max = look.number();
        }
        look.eat(b'}').then(|| (min, max, look.at - self.at))
    }

    fn quantifier(&mut self, items: &mut Vec<Node>, repeatable: &mut bool) -> Parse<()> {
        let (min, max) = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            _ => {
                let (min, max, len) = self.counts().unwrap_or((0, None, 1));
                self.at += len - 1;
                if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT) {
                    // PCRE stops at the digits that are too many.
                    return Err(self.error("number too big in {} quantifier"));
                }
                if max.is_some_and(|max| max < min) {
                    return Err(self.error("numbers out of order in {} quantifier"));
                }
                (min, max)
            }
        };
        let node = match items.pop() {
            Some(node) if *repeatable => node,
            _ => return Err(self.error("nothing to repeat")),
        };
        self.at += 1;
        while self.mode.extended && self.skip_blank() {}
        let kind = if self.eat(b'+') {
            Kind::Possessive
        } else if self.eat(b'?') != self.mode.ungreedy {
            Kind::Lazy
        } else {
            Kind::Greedy
        };
        *repeatable = false;
        items.push(match node {
            // Repeating an assertion changes nothing, but it can become optional.
            Node::Look { .. } if min > 0 => node,
            Node::Look { .. } => {
                Node::Repeat { node: Box::new(node), min, max: max.map(|max| max.min(1)).or(Some(1)), kind }
            }
            _ => Node::Repeat { node: Box::new(node), min, max, kind },
        });
        Ok(())
    }

    /// A group's name and the `close` behind it.
    pub(super) fn name(&mut self, close: u8, unterminated: &'static str) -> Parse<Vec<u8>> {
        let start = self.at;
        if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.error("group name must start with a non-digit"));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.at += 1;
        }
        let name = self.text[start..self.at].to_vec();
        if self.peek() != Some(close) {
            return Err(self.error(unterminated));
        }
        if name.len() > MAX_NAME {
            return Err(self.error("subpattern name is too long (maximum 32 characters)"));
        }
        self.at += 1;
        Ok(name)
    }

    pub(super) fn reference(&mut self, close: u8) -> Parse<Ref> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(self.error("subpattern name expected"));
        }
        let name = self.name(close, "syntax error in subpattern name (missing terminator)")?;
        Ok(Ref { name: Name::Name(name), offset: self.at - 1 })
    }

    /// `\R`, by what counts as a newline there.
    pub(super) fn newline(&self) -> Node {
        if self.newline_any {
            return Node::Newline;
        }
        let crlf = Node::Concat(vec![Node::Char(13, false), Node::Char(10, false)]);
        let single = Node::Set(CharSet::from_ranges(&[(10, 10), (13, 13)]));
        Node::Atomic(Box::new(Node::Alt(vec![crlf, single])))
    }
}

fn choice(mut branches: Vec<Node>) -> Node {
    match branches.pop() {
        Some(only) if branches.is_empty() => only,
        Some(last) => {
            branches.push(last);
            Node::Alt(branches)
        }
        None => Node::Empty,
    }
}

const MAX_REPEAT: u32 = 65535;
const MAX_DEPTH: u32 = 250;
const MAX_NAME: usize = 32;
const MAX_NAMES: usize = 10_000;
