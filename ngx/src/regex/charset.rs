//! Sets of characters: built from ranges and properties while parsing, frozen to a lookup form for matching.
//!
//! A character is a byte (0-255) in byte mode and a code point in UTF mode.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange, HirKind};

/// Ranges of characters, inclusive; in any order until `normalise`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CharSet {
    ranges: Vec<(u32, u32)>,
}

impl CharSet {
    pub fn from_ranges(ranges: &[(u32, u32)]) -> CharSet {
        CharSet { ranges: ranges.to_vec() }
    }

    pub fn add(&mut self, low: u32, high: u32) {
        self.ranges.push((low, high));
    }

    pub fn add_set(&mut self, other: &CharSet) {
        self.ranges.extend_from_slice(&other.ranges);
    }

    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    /// Sorts the ranges and joins those that touch.
    pub fn normalise(&mut self) {
        self.ranges.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::with_capacity(self.ranges.len());
        for &(low, high) in &self.ranges {
            match joined.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => joined.push((low, high)),
            }
        }
        self.ranges = joined;
    }

    /// All characters up to `limit` that are not in the set.
    pub fn complement(mut self, limit: u32) -> CharSet {
        self.normalise();
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        let mut next = 0;
        for (low, high) in self.ranges {
            if low > next {
                ranges.push((next, low - 1));
            }
            next = high.saturating_add(1);
        }
        if next <= limit {
            ranges.push((next, limit));
        }
        CharSet { ranges }
    }

    /// Drops what is above `limit`.
    pub fn cut(&mut self, limit: u32) {
        self.ranges.retain(|range| range.0 <= limit);
        for range in &mut self.ranges {
            range.1 = range.1.min(limit);
        }
    }

    /// Adds the other cases of every character: ASCII's in byte mode, Unicode's simple folding in UTF mode.
    pub fn fold_case(&mut self, utf: bool) {
        if utf {
            let chars = self.ranges.iter().flat_map(|&(low, high)| {
                // Surrogates are no chars; they have no case either.
                [(low, high.min(0xd7ff)), (low.max(0xe000), high)]
            });
            let chars = chars.filter_map(|(low, high)| {
                let (low, high) = (char::from_u32(low)?, char::from_u32(high)?);
                (low <= high).then(|| ClassUnicodeRange::new(low, high))
            });
            let mut class = ClassUnicode::new(chars);
            if class.try_case_fold_simple().is_ok() {
                self.ranges.extend(class.iter().map(|range| (range.start() as u32, range.end() as u32)));
            }
        } else {
            for at in 0..self.ranges.len() {
                let (low, high) = self.ranges[at];
                for (from, to, other) in [(b'a', b'z', b'A'), (b'A', b'Z', b'a')] {
                    let (from, to, other) = (u32::from(from), u32::from(to), u32::from(other));
                    let (low, high) = (low.max(from), high.min(to));
                    if low <= high {
                        self.ranges.push((low - from + other, high - from + other));
                    }
                }
            }
        }
        self.normalise();
    }

    /// The characters with a Unicode property, by PCRE's names: general categories, `L&`, `Any`, scripts and the `X..`
    /// inventions of PCRE. `None` when there is no such property.
    pub fn property(name: &str) -> Option<CharSet> {
        let union = |names: &[&str]| {
            let mut set = CharSet::default();
            for name in names {
                set.add_set(&CharSet::property(name)?);
            }
            Some(set)
        };
        match name {
            "Any" => return Some(CharSet::from_ranges(&[(0, MAX_CHAR)])),
            "L&" => return union(&["Lu", "Ll", "Lt"]),
            "Xan" => return union(&["L", "N"]),
            "Xwd" => {
                let mut set = union(&["L", "N"])?;
                set.add(u32::from(b'_'), u32::from(b'_'));
                return Some(set);
            }
            "Xsp" | "Xps" => {
                let mut set = union(&["Z"])?;
                set.add(9, 13);
                set.add(0x85, 0x85);
                return Some(set);
            }
            "Xuc" => {
                let ascii = [b'$', b'@', b'`'].map(|byte| (u32::from(byte), u32::from(byte)));
                let mut set = CharSet::from_ranges(&ascii);
                set.add(0xa0, 0xd7ff);
                set.add(0xe000, MAX_CHAR);
                return Some(set);
            }
            "Cs" => return Some(CharSet::from_ranges(&[(0xd800, 0xdfff)])),
            _ => {}
        }
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        // Unlike here, case counts in PCRE's names.
        let mut before = b'_';
        for byte in name.bytes() {
            if byte.is_ascii_alphabetic() && byte.is_ascii_uppercase() != (before == b'_') && name != "SignWriting" {
                return None;
            }
            before = byte;
        }
        let kind = if name.len() <= 2 { "gc" } else { "sc" };
        let hir = regex_syntax::Parser::new().parse(&format!("\\p{{{kind}={name}}}")).ok()?;
        let mut set = CharSet::default();
        match hir.kind() {
            HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => {
                class.iter().for_each(|range| set.add(range.start() as u32, range.end() as u32));
            }
            HirKind::Literal(literal) => {
                let char = std::str::from_utf8(&literal.0).ok()?.chars().next()?;
                set.add(char as u32, char as u32);
            }
            _ => return None,
        }
        Some(set)
    }

    pub fn freeze(mut self, utf: bool) -> Frozen {
        self.normalise();
        let mut bytes = [false; 256];
        let direct = if utf { 0x80 } else { 0x100 };
        for &(low, high) in &self.ranges {
            for char in low..=high.min(direct - 1) {
                bytes[char as usize] = true;
            }
        }
        let ranges = self.ranges.iter().filter(|range| utf && range.1 >= direct).copied().collect();
        Frozen { bytes, ranges }
    }
}

/// A small set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes([u64; 4]);

impl Bytes {
    pub const ALL: Bytes = Bytes([u64::MAX; 4]);

    pub fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    pub fn remove(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] &= !(1 << (byte & 63));
    }

    pub fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & 1 << (byte & 63) != 0
    }

    pub fn union(&mut self, other: &Bytes) {
        self.0.iter_mut().zip(other.0).for_each(|(word, more)| *word |= more);
    }

    pub fn overlaps(&self, other: &Bytes) -> bool {
        self.0.iter().zip(other.0).any(|(word, more)| word & more != 0)
    }

    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=255).filter(|&byte| self.has(byte))
    }

    pub fn table(&self) -> [bool; 256] {
        std::array::from_fn(|byte| self.has(byte as u8))
    }
}

/// A set to match with: a table for bytes (ASCII only in UTF mode), ranges for the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    pub bytes: [bool; 256],
    ranges: Box<[(u32, u32)]>,
}

impl Frozen {
    /// Whether a code point (UTF mode) is in the set.
    #[inline]
    pub fn has(&self, char: u32) -> bool {
        if char < 0x80 { self.bytes[char as usize] } else { self.has_wide(char) }
    }

    fn has_wide(&self, char: u32) -> bool {
        let at = self.ranges.partition_point(|range| range.1 < char);
        self.ranges.get(at).is_some_and(|range| range.0 <= char)
    }
}

/// Decodes the character at `at`, which must be inside `text`: code point and length. A malformed byte, which only an
/// unchecked subject or `\C` leads to, is a character of its own value.
#[inline]
pub fn decode(text: &[u8], at: usize) -> (u32, usize) {
    let first = text[at];
    if first < 0x80 {
        return (u32::from(first), 1);
    }
    decode_wide(&text[at..])
}

fn decode_wide(text: &[u8]) -> (u32, usize) {
    let tail = |at: usize| text.get(at).filter(|&&byte| byte & 0xc0 == 0x80).map(|&byte| u32::from(byte & 0x3f));
    let first = u32::from(text[0]);
    let decoded = match first {
        0xc0..=0xdf => tail(1).map(|a| ((first & 0x1f) << 6 | a, 2)),
        0xe0..=0xef => tail(1).zip(tail(2)).map(|(a, b)| ((first & 0xf) << 12 | a << 6 | b, 3)),
        0xf0..=0xf7 => {
            tail(1).zip(tail(2)).zip(tail(3)).map(|((a, b), c)| ((first & 7) << 18 | a << 12 | b << 6 | c, 4))
        }
        _ => None,
    };
    decoded.unwrap_or((first, 1))
}

/// The start of the character that ends before `at` (which is not 0).
#[inline]
pub fn step_back(text: &[u8], at: usize) -> usize {
    let mut at = at - 1;
    while at > 0 && text[at] & 0xc0 == 0x80 {
        at -= 1;
    }
    at
}

/// Appends a code point as UTF-8; surrogates too, as PCRE's patterns may name them.
pub fn encode(char: u32, out: &mut Vec<u8>) {
    let tail = |shift: u32| (char >> shift & 0x3f) as u8 | 0x80;
    match char {
        0..=0x7f => out.push(char as u8),
        0x80..=0x7ff => out.extend_from_slice(&[(char >> 6) as u8 | 0xc0, tail(0)]),
        0x800..=0xffff => out.extend_from_slice(&[(char >> 12) as u8 | 0xe0, tail(6), tail(0)]),
        _ => out.extend_from_slice(&[(char >> 18 & 7) as u8 | 0xf0, tail(12), tail(6), tail(0)]),
    }
}

pub const MAX_CHAR: u32 = 0x10_ffff;
