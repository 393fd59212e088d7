//! What stands in parentheses: groups by number and by name, options, assertions that look around, calls, conditions, verbs.

use super::super::ast::{Name, Node, Ref, Test, Verb};
use super::{MAX_DEPTH, MAX_NAMES, Mode, Parse, Parser, choice};

impl Parser<'_> {
    /// Anything that starts with `(`. `None` for what matches nothing by itself: comments and options. The flag tells
    /// whether a quantifier may follow.
    pub(super) fn group(&mut self) -> Parse<Option<(Node, bool)>> {
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

    pub(super) fn verb(&mut self) -> Parse<Node> {
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
}
