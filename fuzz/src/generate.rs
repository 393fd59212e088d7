//! Patterns and subjects by chance: mostly well-formed, over a small alphabet, so that they often match.

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % limit.max(1) as u64) as usize
    }

    pub fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// What patterns may contain.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// No backtracking features.
    Plain,
    Full,
    /// Broken on purpose, now and then.
    Broken,
}

/// The letters of a pattern's options.
pub fn options(random: &mut Random) -> String {
    ["i", "m", "s", "x", "u", "a"].iter().filter(|_| random.chance(4)).copied().collect()
}

pub fn subject(random: &mut Random) -> String {
    let length = random.below(14);
    (0..length).map(|_| random.one(SUBJECT)).collect()
}

pub fn pattern(random: &mut Random, kind: Kind) -> String {
    let mut generator = Generator { random, kind, out: String::new(), groups: 0, open: 0 };
    generator.alternatives(3);
    let mut out = generator.out;
    if kind == Kind::Broken {
        for _ in 0..1 + random.below(3) {
            let at = (0..=out.len()).filter(|at| out.is_char_boundary(*at)).nth(random.below(out.len() + 1));
            let at = at.unwrap_or(out.len());
            if random.chance(3) && at < out.len() {
                out.remove(at);
            } else {
                out.insert_str(at, random.one(BROKEN));
            }
        }
    }
    out
}

struct Generator<'r> {
    random: &'r mut Random,
    kind: Kind,
    out: String,
    groups: usize,
    open: usize,
}

impl Generator<'_> {
    fn alternatives(&mut self, depth: usize) {
        for at in 0..1 + self.random.below(3).saturating_sub(usize::from(self.random.chance(2))) {
            if at > 0 {
                self.out.push('|');
            }
            for _ in 0..self.random.below(5) {
                self.piece(depth);
            }
        }
    }

    fn piece(&mut self, depth: usize) {
        if self.random.chance(7) {
            let assert = self.random.one(ASSERTS);
            self.out.push_str(assert);
            return;
        }
        if self.kind != Kind::Plain && self.random.chance(14) {
            let special = self.random.one(SPECIAL);
            self.out.push_str(special);
            return;
        }
        if depth > 0 && self.random.chance(3) {
            self.group(depth);
        } else {
            let atoms = if self.random.chance(2) { LETTERS } else { ATOMS };
            let atom = self.random.one(atoms);
            self.out.push_str(atom);
        }
        if self.random.chance(2) {
            let quantifier = self.random.one(QUANTIFIERS);
            self.out.push_str(quantifier);
            if !quantifier.is_empty() {
                let suffix = match self.kind {
                    Kind::Plain => self.random.one(&["", "", "?"]),
                    _ => self.random.one(&["", "", "", "?", "+"]),
                };
                self.out.push_str(suffix);
            }
        }
    }

    fn group(&mut self, depth: usize) {
        let opening = match self.kind {
            Kind::Plain => self.random.one(&["(", "(", "(?:", "(?i:"]),
            _ if self.random.chance(8) => {
                self.reference();
                return;
            }
            _ => self.random.one(GROUPS),
        };
        if opening == "(" {
            self.groups += 1;
        }
        self.open += 1;
        self.out.push_str(opening);
        self.alternatives(depth - 1);
        self.out.push(')');
        self.open -= 1;
    }

    fn reference(&mut self) {
        let group = 1 + self.random.below(self.groups.max(1));
        let text = match self.random.below(6) {
            0 => format!("(?{group})"),
            1 => format!("(?({group})a|b)"),
            2 => "(?R)".to_string(),
            3 => "(?(?=a)ab|[bc])".to_string(),
            _ => format!("\\{group}"),
        };
        self.out.push_str(&text);
    }
}

const SUBJECT: &[&str] = &[
    "a", "a", "a", "b", "b", "b", "c", "c", "A", "B", "1", "2", " ", "-", "_", "\n", "\r\n", "é", "É", "k", "\u{212a}",
    "\t",
];
const LETTERS: &[&str] = &["a", "a", "b", "b", "c", "ab", "abc", "bc", "A", "1", " ", "-", "é", "k", "\\n"];
const ATOMS: &[&str] = &[
    ".",
    ".",
    "[ab]",
    "[^a]",
    "[^ab\\n]",
    "[a-c]",
    "[^\\W_]",
    "\\d",
    "\\w",
    "\\s",
    "\\S",
    "\\D",
    "\\W",
    "\\h",
    "\\v",
    "\\N",
    "[[:alpha:]]",
    "[[:^digit:]]",
    "[\\d\\s]",
    "[éa]",
    "[^é]",
    "\\x61",
    "\\x{e9}",
    "\\Qa.\\E",
    "[A-Z]",
    "\\.",
    "(?:a|b|ab)",
    "(a|ab)(c|bc)?",
    "[a\\-c]",
    "\\H",
    "\\V",
    "\\p{L}",
    "\\P{Lu}",
    "[\\p{Ll}1]",
];
const ASSERTS: &[&str] = &["^", "$", "\\b", "\\B", "\\A", "\\z", "\\Z"];
const SPECIAL: &[&str] = &[
    "\\G",
    "\\K",
    "\\R",
    "(*ACCEPT)",
    "(*FAIL)",
    "(*COMMIT)",
    "(*PRUNE)",
    "(*SKIP)",
    "(?i)",
    "(?s)",
    "(?m)",
    "(?x)",
    "(?-i)",
    "(?U)",
    "\\X",
    "(?=a)",
    "(?!b)",
    "(?<=a)",
    "(?<!b)",
    "(?<=ab|c)",
    "\\1",
    "\\2",
];
const QUANTIFIERS: &[&str] = &["*", "*", "+", "+", "?", "{2}", "{0,2}", "{1,}", "{1,3}", "{0}", "{3,4}"];
const GROUPS: &[&str] =
    &["(", "(", "(", "(?:", "(?:", "(?=", "(?!", "(?>", "(?i:", "(?|", "(?s-i:", "(?x: ", "(?<=", "(?<!"];
const BROKEN: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "?",
    "*",
    "+",
    "|",
    "\\",
    "(?",
    "(?<",
    "(?P",
    "(?P<",
    "(?<n>",
    "(?'n'",
    "(?P=n)",
    "(?P>n)",
    "(?&n)",
    "\\k<n>",
    "\\k{n}",
    "\\g{-1}",
    "\\g1",
    "\\g",
    "(?(",
    "(?(1)",
    "(?(R)",
    "(?(<n>)",
    "(*",
    "(*X)",
    "\\x{",
    "\\x{110000}",
    "\\o{",
    "\\p",
    "\\p{",
    "\\p{Zz}",
    "[[:x:]]",
    "[z-a]",
    "[a-\\d]",
    "{2,1}",
    "{99999}",
    "\\c",
    "\\Q",
    "\\E",
    "(?#",
    "(?C",
    "(?i",
    "(?z)",
    "\\u",
    "\\L",
    "\\N{",
    "(?-1)",
    "(?+1)",
    "(?<1>",
    "(?<n",
    "(?P<n>a)",
    "\\99",
    "\\8",
    "(?(DEFINE)",
    "(?=",
    "(?<=",
    "(?<=a+)",
    "[:alpha:]",
    "[[.a.]]",
    "\\C",
    "(?(VERSION>=10)",
    "(?(1)a|b|c)",
    "(?R",
    "(?1",
    "(?0)",
];
