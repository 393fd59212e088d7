//! The engine for searches that would backtrack too much: linear in the subject, for the patterns that need no more.
//!
//! A pattern qualifies if automata see it exactly as PCRE does: no references, lookaround, atomic groups, verbs, `\K`, `\G`, `\R`
//! or `\X`, and no repetition of what can be empty (whose groups differ). Two assertions agree only on subjects that
//! do not end in a newline: `$`, which PCRE lets match before one, and `^` of multi-line mode, which PCRE does not
//! let match behind it.
//!
//! Building the automaton takes longer than most searches, so it waits for the first search that is hard; from then on
//! the pattern is run here.

use std::sync::OnceLock;

use regex_automata::meta;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{
    Capture, Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, Look, Repetition,
};

use super::analysis::Index;
use super::ast::{Assert, Kind, Node};
use super::charset::CharSet;
use super::parse::Parsed;
use super::program::UNSET;

#[derive(Debug)]
pub struct Linear {
    hir: Hir,
    utf: bool,
    /// Not for subjects that end in a newline.
    no_newline: bool,
    groups: usize,
    automaton: OnceLock<Option<meta::Regex>>,
}

impl Linear {
    /// `None`: the pattern needs the backtracking engine.
    pub fn new(parsed: &Parsed) -> Option<Linear> {
        let index = Index::new(&parsed.node, parsed.groups, &parsed.names, parsed.utf);
        let mut translator = Translator { index, utf: parsed.utf, no_newline: false, groups: 0 };
        let hir = translator.node(&parsed.node)?;
        let no_newline = translator.no_newline;
        let groups = parsed.groups as usize + 1;
        Some(Linear { hir, utf: parsed.utf, no_newline, groups, automaton: OnceLock::new() })
    }

    /// Whether a hard search has been met.
    pub fn is_built(&self) -> bool {
        self.automaton.get().is_some()
    }

    pub fn suits(&self, subject: &[u8]) -> bool {
        !(self.no_newline && subject.ends_with(b"\n"))
    }

    /// Finds the first match from `start` on, and fills in the groups' slots. `None`: the automaton is too large.
    pub fn search(&self, subject: &[u8], start: usize, anchored: bool, slots: &mut Vec<usize>) -> Option<bool> {
        let automaton = self.automaton.get_or_init(|| self.build()).as_ref()?;
        let anchored = if anchored { Anchored::Yes } else { Anchored::No };
        let input = Input::new(subject).range(start..).anchored(anchored);
        let mut found: Vec<Option<NonMaxUsize>> = vec![None; 2 * self.groups];
        let matched = automaton.search_slots(&input, &mut found).is_some();
        slots.clear();
        slots.extend(found.iter().map(|slot| slot.map_or(UNSET, NonMaxUsize::get)));
        Some(matched)
    }

    fn build(&self) -> Option<meta::Regex> {
        let config = meta::Config::new()
            .utf8_empty(self.utf)
            .nfa_size_limit(Some(MAX_AUTOMATON))
            .onepass_size_limit(Some(MAX_AUTOMATON))
            .hybrid_cache_capacity(MAX_AUTOMATON);
        meta::Builder::new().configure(config).build_from_hir(&self.hir).ok()
    }
}

struct Translator<'t> {
    index: Index<'t>,
    utf: bool,
    no_newline: bool,
    /// The last group's number.
    groups: u32,
}

impl Translator<'_> {
    fn node(&mut self, node: &Node) -> Option<Hir> {
        Some(match node {
            Node::Empty => Hir::empty(),
            Node::Fail => Hir::fail(),
            Node::Char(char, false) => {
                let mut text = Vec::new();
                self.index.push_char(*char, &mut text);
                Hir::literal(text)
            }
            Node::Char(char, true) => {
                let mut set = CharSet::from_ranges(&[(*char, *char)]);
                set.fold_case(self.utf);
                self.class(&set)
            }
            Node::Set(set) => self.class(set),
            Node::Any { newline } => {
                let limit = if self.utf { 0x10_ffff } else { 0xff };
                let newlines: &[(u32, u32)] = if *newline { &[] } else { &[(10, 10)] };
                self.class(&CharSet::from_ranges(newlines).complement(limit))
            }
            Node::Byte if !self.utf => self.class(&CharSet::from_ranges(&[(0, 0xff)])),
            Node::Assert(assert) => Hir::look(self.look(*assert)?),
            Node::Capture(group, inner) => {
                // Groups that share a number, and groups within a repetition of nothing, are out of order.
                if *group != self.groups + 1 {
                    return None;
                }
                self.groups = *group;
                Hir::capture(Capture { index: *group, name: None, sub: Box::new(self.node(inner)?) })
            }
            Node::Repeat { node, min, max, kind } if *kind != Kind::Possessive => {
                if *max == Some(0) || self.index.nullable(node) {
                    return None;
                }
                let sub = Box::new(self.node(node)?);
                Hir::repetition(Repetition { min: *min, max: *max, greedy: *kind == Kind::Greedy, sub })
            }
            Node::Concat(nodes) => Hir::concat(self.nodes(nodes)?),
            Node::Alt(nodes) => Hir::alternation(self.nodes(nodes)?),
            _ => return None,
        })
    }

    fn nodes(&mut self, nodes: &[Node]) -> Option<Vec<Hir>> {
        nodes.iter().map(|node| self.node(node)).collect()
    }

    fn look(&mut self, assert: Assert) -> Option<Look> {
        Some(match assert {
            Assert::Start => Look::Start,
            Assert::End => Look::End,
            Assert::EndOrNewline => {
                self.no_newline = true;
                Look::End
            }
            Assert::LineStart => {
                self.no_newline = true;
                Look::StartLF
            }
            Assert::LineEnd => Look::EndLF,
            Assert::WordBoundary => Look::WordAscii,
            Assert::NotWordBoundary => Look::WordAsciiNegate,
            Assert::From => return None,
        })
    }

    fn class(&self, set: &CharSet) -> Hir {
        let mut set = set.clone();
        set.normalise();
        let ranges = set.ranges().iter();
        Hir::class(if self.utf {
            // A checked subject has no surrogates.
            let halves = ranges.flat_map(|&(low, high)| [(low, high.min(0xd7ff)), (low.max(0xe000), high)]);
            let chars = halves
                .filter(|(low, high)| low <= high)
                .filter_map(|(low, high)| Some(ClassUnicodeRange::new(char::from_u32(low)?, char::from_u32(high)?)));
            Class::Unicode(ClassUnicode::new(chars))
        } else {
            let bytes = ranges.filter(|&&(low, _)| low < 0x100);
            let bytes = bytes.map(|&(low, high)| ClassBytesRange::new(low as u8, high.min(0xff) as u8));
            Class::Bytes(ClassBytes::new(bytes))
        })
    }
}

/// Bytes of an automaton, and of its cache, at most.
const MAX_AUTOMATON: usize = 1 << 20;
