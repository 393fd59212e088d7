//! Patterns to trees: PCRE's syntax, its leniencies and the words and offsets of its errors.
//!
//! Offsets point where PCRE's scanner stands when it gives up, which is what OpenResty users see. Nesting is limited
//! to PCRE's own 250, so the recursion over groups here and in the compiler is bounded. Escapes are in `escape`,
//! classes in `class`.

use super::ast::{Assert, Kind, Name, Node, Ref, Test, Verb};
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

    /// Anything that starts with `(`. `None` for what matches nothing by itself: comments and options. The flag tells
    /// whether a quantifier may follow.
    fn group(&mut self) -> Parse<Option<(Node, bool)>> {
        if self.peek_at(1) == Some(b'*')
            && self.peek_at(2).is_some_and(|byte| byte == b':' || byte.is_ascii_alphabetic())
        {
            return self.verb().map(|node| Some((node, false)));
        }
        self.at += 1;
        if !self.eat(b'?') {
            self.groups += 1;
            let number = self.groups;
            return self.body(false).map(|node| Some((Node::Capture(number, Box::new(node)), true)));
        }
        if self.peek() == Some(b'#') {
            let rest = &self.text[self.at..];
            let Some(end) = memchr::memchr(b')', rest) else {
                return Err(self.error_at("missing ) after comment", self.text.len()));
            };
            self.at += end + 1;
            return Ok(None);
        }
        let node = match (self.peek(), self.peek_at(1)) {
            (Some(b':'), _) => {
                self.at += 1;
                self.body(false)?
            }
            (Some(b'|'), _) => {
                self.at += 1;
                self.body(true)?
            }
            (Some(b'>'), _) => {
                self.at += 1;
                Node::Atomic(Box::new(self.body(false)?))
            }
            (Some(b'='), _) => self.look(1, false, false)?,
            (Some(b'!'), _) => self.look(1, false, true)?,
            (Some(b'<'), Some(b'=')) => self.look(2, true, false)?,
            (Some(b'<'), Some(b'!')) => self.look(2, true, true)?,
            (Some(b'<'), Some(b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_')) => self.named_group(1, b'>')?,
            (Some(b'<'), _) => return Err(self.error_at("unrecognized character after (?<", self.at + 1)),
            (Some(b'\''), _) => self.named_group(1, b'\'')?,
            (Some(b'P'), Some(b'<')) => self.named_group(2, b'>')?,
            (Some(b'P'), Some(b'=')) => {
                self.at += 2;
                let to = self.reference(b')')?;
                Node::Backref { to, caseless: self.mode.caseless }
            }
            (Some(b'P'), Some(b'>')) => {
                self.at += 2;
                Node::Call(self.reference(b')')?)
            }
            (Some(b'P'), _) => {
                self.at += 1;
                return Err(self.error("unrecognized character after (?P"));
            }
            (Some(b'&'), _) => {
                self.at += 1;
                Node::Call(self.reference(b')')?)
            }
            (Some(b'('), _) => self.conditional()?,
            (Some(b'C'), _) => return Err(self.error("callouts are not supported")),
            (Some(b'R'), _) => {
                self.at += 1;
                self.call_end(0)?
            }
            (Some(b'+'), _) => {
                self.at += 1;
                let Some(distance) = self.number() else { return Err(self.error("digit expected after (?+")) };
                if distance == 0 {
                    return Err(self.error("a numbered reference must not be zero"));
                }
                self.call_end(self.groups.saturating_add(distance))?
            }
            (Some(b'-'), Some(b'0'..=b'9')) => {
                self.at += 1;
                let distance = self.number().unwrap_or(0);
                if distance == 0 {
                    return Err(self.error("a numbered reference must not be zero"));
                }
                if self.peek() != Some(b')') {
                    return self.call_end(0).map(|node| Some((node, true)));
                }
                let Some(number) = (self.groups + 1).checked_sub(distance).filter(|&number| number > 0) else {
                    return Err(self.error("reference to non-existent subpattern"));
                };
                self.call_end(number)?
            }
            (Some(b'0'..=b'9'), _) => {
                let number = self.number().unwrap_or(0);
                self.call_end(number)?
            }
            _ => return self.options().map(|node| node.map(|node| (node, true))),
        };
        Ok(Some((node, true)))
    }

    /// What is inside a group, and its `)`.
    fn body(&mut self, reset: bool) -> Parse<Node> {
        self.branches(reset).map(choice)
    }

    /// The alternatives of a group and its `)`. Options set inside end with it.
    fn branches(&mut self, reset: bool) -> Parse<Vec<Node>> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("parentheses are too deeply nested"));
        }
        let mode = self.mode;
        let branches = self.alternatives(reset)?;
        self.mode = mode;
        self.depth -= 1;
        if !self.eat(b')') {
            return Err(self.error("missing )"));
        }
        Ok(branches)
    }

    fn look(&mut self, sign: usize, behind: bool, negative: bool) -> Parse<Node> {
        self.at += sign;
        let mut branches = self.branches(false)?;
        if let [Node::Alt(_)] = branches.as_slice() {
            // The alternatives of a group inside are not those of the assertion, which may differ in length.
            branches = vec![Node::Concat(branches)];
        }
        let (node, ends) = (Box::new(choice(branches)), std::mem::take(&mut self.ends));
        let repeated = match self.peek() {
            Some(b'*' | b'+' | b'?') => true,
            Some(b'{') => self.counts().is_some(),
            _ => false,
        };
        if negative && *node == Node::Empty && !repeated {
            return Ok(Node::Fail);
        }
        Ok(Node::Look { behind, negative, node, ends })
    }

    fn named_group(&mut self, sign: usize, close: u8) -> Parse<Node> {
        self.at += sign;
        let name = self.name(close, "syntax error in subpattern name (missing terminator)")?;
        self.groups += 1;
        let number = self.groups;
        for (other, group) in &self.names {
            if *other == name && *group != number && !self.mode.dup_names {
                return Err(self.error_at("two named subpatterns have the same name", self.at - 1));
            }
            if *other != name && *group == number {
                return Err(
                    self.error_at("different names for subpatterns of the same number are not allowed", self.at - 1)
                );
            }
        }
        if !self.names.iter().any(|(other, group)| *other == name && *group == number) {
            if self.names.len() >= MAX_NAMES {
                return Err(self.error_at("too many named subpatterns (maximum 10000)", self.at - 1));
            }
            self.names.push((name, number));
        }
        self.body(false).map(|node| Node::Capture(number, Box::new(node)))
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

    /// The `)` behind a call by number.
    fn call_end(&mut self, number: u32) -> Parse<Node> {
        let offset = self.at;
        if !self.eat(b')') {
            return Err(self.error("(?R or (?[+-]digits must be followed by )"));
        }
        Ok(Node::Call(Ref { name: Name::Number(number), offset }))
    }

    /// `(?imsxUJ-imsx)` for the rest of the group, or with `:` for a group of its own.
    fn options(&mut self) -> Parse<Option<Node>> {
        let before = self.mode;
        let mut mode = self.mode;
        let mut on = true;
        if self.eat(b'^') {
            mode = Mode { caseless: false, multiline: false, dotall: false, extended: false, ..mode };
        }
        loop {
            let Some(byte) = self.peek() else {
                return Err(self.error("unrecognized character after (? or (?-"));
            };
            match byte {
                b'i' => mode.caseless = on,
                b'm' => mode.multiline = on,
                b's' => mode.dotall = on,
                b'x' => mode.extended = on,
                b'U' => mode.ungreedy = on,
                b'J' => mode.dup_names = on,
                b'X' => {}
                b'-' => on = false,
                b')' => {
                    self.at += 1;
                    self.mode = mode;
                    return Ok(None);
                }
                b':' => {
                    self.at += 1;
                    self.mode = mode;
                    let node = self.body(false)?;
                    self.mode = before;
                    return Ok(Some(node));
                }
                _ => return Err(self.error("unrecognized character after (? or (?-")),
            }
            self.at += 1;
        }
    }

    /// `(?(test)yes|no)`, standing at the inner parenthesis.
    fn conditional(&mut self) -> Parse<Node> {
        let test = self.test()?;
        let mut branches = self.branches(false)?.into_iter();
        let (yes, no) = (branches.next(), branches.next());
        let closed = self.at - 1;
        if test == Test::Never && no.is_some() {
            let error = self.error_at("DEFINE group contains more than one branch", closed);
            self.too_many.get_or_insert(error);
        } else if branches.next().is_some() {
            let error = self.error_at("conditional group contains more than two branches", closed);
            self.too_many.get_or_insert(error);
        }
        let (yes, no) = (yes.unwrap_or(Node::Empty), no.unwrap_or(Node::Empty));
        Ok(Node::Cond { test, yes: Box::new(yes), no: Box::new(no) })
    }

    fn test(&mut self) -> Parse<Test> {
        const MALFORMED: &str = "malformed number or name after (?(";
        if self.eat_all(b"(?") {
            let node = match (self.peek(), self.peek_at(1)) {
                (Some(b'='), _) => self.look(1, false, false)?,
                (Some(b'!'), _) => self.look(1, false, true)?,
                (Some(b'<'), Some(b'=')) => self.look(2, true, false)?,
                (Some(b'<'), Some(b'!')) => self.look(2, true, true)?,
                _ => {
                    return Err(self.error_at("assertion expected after (?( or (?(?C)", self.at - 1));
                }
            };
            return Ok(Test::Look(Box::new(node)));
        }
        self.at += 1;
        let sign = self.peek().filter(|byte| matches!(byte, b'+' | b'-'));
        self.at += usize::from(sign.is_some());
        if let Some(number) = self.number() {
            let number = match sign {
                _ if number == 0 => return Err(self.error("invalid condition (?(0)")),
                Some(b'+') => Some(self.groups.saturating_add(number)),
                Some(_) => (self.groups + 1).checked_sub(number).filter(|&number| number > 0),
                None => Some(number),
            };
            let offset = self.at + 1;
            if !self.eat(b')') {
                return Err(self.error(MALFORMED));
            }
            let Some(number) = number else {
                return Err(self.error_at("reference to non-existent subpattern", offset));
            };
            return Ok(Test::Group(Ref { name: Name::Number(number), offset }));
        }
        if sign.is_some() {
            return Err(self.error(MALFORMED));
        }
        let quote = match self.peek() {
            Some(b'<') => Some(b'>'),
            Some(b'\'') => Some(b'\''),
            _ => None,
        };
        self.at += usize::from(quote.is_some());
        if !self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(self.error("assertion expected after (?( or (?(?C)"));
        }
        if let Some(close) = quote {
            let name = self.name(close, MALFORMED)?;
            let offset = self.at + 1;
            if !self.eat(b')') {
                return Err(self.error(MALFORMED));
            }
            return Ok(Test::Group(Ref { name: Name::Name(name), offset }));
        }
        if self.eat_all(b"R&") {
            return Ok(Test::Recursion(Some(self.reference(b')')?)));
        }
        let name = self.name(b')', MALFORMED)?;
        let offset = self.at;
        let known = self.names.iter().any(|(other, _)| *other == name);
        let digits = name.strip_prefix(b"R").filter(|rest| rest.iter().all(u8::is_ascii_digit));
        Ok(match digits {
            _ if name == b"DEFINE" && !known => Test::Never,
            Some([]) if !known => Test::Recursion(None),
            Some(digits) if !known => {
                let number = digits
                    .iter()
                    .fold(0u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0')));
                Test::Recursion(Some(Ref { name: Name::Number(number), offset }))
            }
            _ => Test::Group(Ref { name: Name::Name(name), offset }),
        })
    }

    fn verb(&mut self) -> Parse<Node> {
        self.at += 2;
        let rest = &self.text[self.at..];
        let len = rest.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(rest.len());
        let word = &rest[..len];
        self.at += len;
        let argument = self.eat(b':');
        if argument {
            let rest = &self.text[self.at..];
            self.at += memchr::memchr(b')', rest).unwrap_or(rest.len());
        }
        if self.peek() != Some(b')') {
            return Err(self.error("(*VERB) not recognized or malformed"));
        }
        let node = match word {
            b"ACCEPT" => Node::Accept,
            b"FAIL" | b"F" => Node::Fail,
            b"COMMIT" => Node::Verb(Verb::Commit),
            b"PRUNE" => Node::Verb(Verb::Prune),
            b"SKIP" if !argument => Node::Verb(Verb::Skip),
            b"MARK" | b"" | b"THEN" | b"SKIP" => {
                return Err(self.error("(*MARK), (*THEN) and (*SKIP:NAME) are not supported"));
            }
            _ => return Err(self.error("(*VERB) not recognized or malformed")),
        };
        if argument && !matches!(node, Node::Verb(Verb::Prune)) {
            return Err(self.error("an argument is not allowed for (*ACCEPT), (*FAIL), or (*COMMIT)"));
        }
        self.at += 1;
        Ok(node)
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
