//! What text every match must have at its start: words to search for, a byte at a known distance.

use regex_automata::MatchKind;
use regex_automata::util::prefilter::Prefilter;

use super::analysis::Index;
use super::ast::Node;
use super::charset::CharSet;

/// A word that a match can start with; `whole` while what follows it would make it longer.
#[derive(Clone)]
struct Word {
    text: Vec<u8>,
    whole: bool,
}

/// A search for the words that every match starts with, if they are few, and long enough to be worth it.
pub fn finder(index: &Index, node: &Node) -> Option<Prefilter> {
    for length in (2..=4).rev() {
        let words = Words { index, length }.of(node);
        if words.len() > MAX_WORDS || words.iter().any(|word| word.text.len() < 2) {
            continue;
        }
        let mut words: Vec<Vec<u8>> = words.into_iter().map(|word| word.text).collect();
        words.sort();
        words.dedup();
        return Prefilter::new(MatchKind::LeftmostFirst, &words).filter(Prefilter::is_fast);
    }
    None
}

struct Words<'i, 't> {
    index: &'i Index<'t>,
    /// Bytes of a word, at most.
    length: usize,
}

impl Words<'_, '_> {
    /// Too many words count as one that is empty.
    fn of(&self, node: &Node) -> Vec<Word> {
        let unknown = || vec![Word { text: Vec::new(), whole: false }];
        let mut words = match node {
            Node::Empty | Node::Keep | Node::Assert(_) | Node::Look { .. } => {
                vec![Word { text: Vec::new(), whole: true }]
            }
            Node::Char(char, caseless) => {
                let mut set = CharSet::from_ranges(&[(*char, *char)]);
                if *caseless {
                    set.fold_case(self.index.utf);
                }
                self.set(&set)
            }
            Node::Set(set) => self.set(set),
            Node::Capture(_, inner) | Node::Atomic(inner) => self.of(inner),
            Node::Repeat { node, min: 1.., .. } => {
                let mut words = self.of(node);
                words.iter_mut().for_each(|word| word.whole = false);
                words
            }
            Node::Concat(nodes) => self.concat(nodes),
            Node::Alt(nodes) => {
                let mut words = Vec::new();
                for node in nodes {
                    words.extend(self.of(node));
                    if words.len() > MAX_WORDS {
                        return unknown();
                    }
                }
                words
            }
            _ => unknown(),
        };
        for word in words.iter_mut().filter(|word| word.text.len() >= self.length) {
            word.text.truncate(self.length);
            word.whole = false;
        }
        if words.len() > MAX_WORDS { unknown() } else { words }
    }

    fn concat(&self, nodes: &[Node]) -> Vec<Word> {
        let mut words = vec![Word { text: Vec::new(), whole: true }];
        for node in nodes {
            if !words.iter().any(|word| word.whole) {
                break;
            }
            let tails = self.of(node);
            let mut longer = Vec::new();
            for word in &words {
                if !word.whole {
                    longer.push(word.clone());
                    continue;
                }
                longer.extend(tails.iter().map(|tail| {
                    let mut text = word.text.clone();
                    text.extend_from_slice(&tail.text);
                    text.truncate(self.length);
                    Word { whole: tail.whole && text.len() < self.length, text }
                }));
            }
            if longer.len() > MAX_WORDS {
                words.iter_mut().for_each(|word| word.whole = false);
                break;
            }
            words = longer;
        }
        words
    }

    fn set(&self, set: &CharSet) -> Vec<Word> {
        let chars = set.ranges().iter().map(|&(low, high)| u64::from(high - low) + 1).sum::<u64>();
        if chars > MAX_CHARS {
            return vec![Word { text: Vec::new(), whole: false }];
        }
        let chars = set.ranges().iter().flat_map(|&(low, high)| low..=high);
        chars
            .map(|char| {
                let mut text = Vec::new();
                self.index.push_char(char, &mut text);
                Word { text, whole: true }
            })
            .collect()
    }
}

/// A byte that stands at the same distance from the start of every match, and the distance; of several the rarest.
pub fn landmark(index: &Index, node: &Node) -> Option<(usize, u8)> {
    // In UTF mode characters differ in length.
    if index.utf {
        return None;
    }
    let (mut found, mut at) = (Vec::new(), 0);
    walk(index, node, &mut at, &mut found);
    found.into_iter().filter(|&(_, byte)| rarity(byte) > 0).max_by_key(|&(_, byte)| rarity(byte))
}

/// Whether all of the node has a fixed length, so that what comes after has a known place.
fn walk(index: &Index, node: &Node, at: &mut usize, found: &mut Vec<(usize, u8)>) -> bool {
    if *at > MAX_DISTANCE {
        return false;
    }
    match node {
        Node::Char(char, caseless) => {
            if !(*caseless && index.has_case(*char)) {
                found.push((*at, *char as u8));
            }
            *at += 1;
            true
        }
        Node::Capture(_, inner) | Node::Atomic(inner) => walk(index, inner, at, found),
        Node::Concat(nodes) => nodes.iter().all(|node| walk(index, node, at, found)),
        Node::Cond { .. } | Node::Call(_) => false,
        _ => match index.fixed_length(node) {
            Some(length) => {
                *at = at.saturating_add(length as usize);
                true
            }
            None => false,
        },
    }
}

/// How much finding the byte tells, in text as it is usual.
fn rarity(byte: u8) -> u8 {
    match byte {
        b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 0,
        b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' => 1,
        b'A'..=b'Z' | b'-' | b'_' | b'=' | b',' | b'"' => 2,
        _ => 3,
    }
}

/// Words to search for at once.
const MAX_WORDS: usize = 64;
/// Characters of a class that are words of their own.
const MAX_CHARS: u64 = 8;
const MAX_DISTANCE: usize = 64;
