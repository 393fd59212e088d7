//! Every distinct name and string of a chunk, once.
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;

use crate::code::VarName;

/// A name or string of the chunk, by number (from 1 on): equal text, equal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(NonZeroU32);

impl Symbol {
    /// The first one's is 0.
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// The texts stand one after the other. A table of 64-bit slots finds them: the hash's upper half, the number plus one; 0 is empty.
/// A source may be nothing but short strings: each takes its length and some 20 bytes.
#[derive(Default)]
pub struct Names {
    texts: Vec<u8>,
    /// Where each text ends.
    ends: Vec<u32>,
    /// A power of two of them, at most three quarters in use.
    slots: Vec<u64>,
    // Seeded, since the chunk's author may be a stranger who picks colliding strings.
    seed: ahash::RandomState,
    variables: HashMap<Symbol, VarName, ahash::RandomState>,
    variable_names: Vec<u8>,
}

impl Names {
    /// Longer sources are refused: they could have more text than `ends` counts.
    pub const MOST: usize = 0x7fff_ff00;

    pub fn intern(&mut self, text: &[u8]) -> Symbol {
        if self.slots.len() / 4 * 3 <= self.ends.len() {
            self.grow();
        }
        let hash = self.seed.hash_one(text) & !u64::from(u32::MAX);
        let mask = self.slots.len() - 1;
        let mut at = home(hash, mask);
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            if (slot ^ hash) >> 32 == 0
                && let Some(number) = NonZeroU32::new(slot as u32)
                && self.text(Symbol(number)) == text
            {
                return Symbol(number);
            }
            at = (at + 1) & mask;
        }
        self.texts.extend_from_slice(text);
        self.ends.push(self.texts.len() as u32);
        // (a text takes a byte of the source at least, but for the empty one: far fewer than `MOST`)
        let number = NonZeroU32::MIN.saturating_add(self.ends.len() as u32 - 1);
        self.slots[at] = hash | u64::from(number.get());
        Symbol(number)
    }

    fn grow(&mut self) {
        let size = (2 * self.slots.len()).max(16);
        let old = std::mem::replace(&mut self.slots, vec![0; size]);
        for slot in old {
            if slot != 0 {
                let mut at = home(slot, size - 1);
                while self.slots[at] != 0 {
                    at = (at + 1) & (size - 1);
                }
                self.slots[at] = slot;
            }
        }
    }

    pub fn text(&self, symbol: Symbol) -> &[u8] {
        let at = symbol.index();
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.texts[start as usize..self.ends[at] as usize]
    }

    /// The name of a variable, to be kept.
    pub fn variable(&mut self, symbol: Symbol) -> VarName {
        if let Some(name) = self.variables.get(&symbol) {
            return *name;
        }
        let text = self.text(symbol).to_vec();
        let name = VarName::new(&mut self.variable_names, &text);
        self.variables.insert(symbol, name);
        name
    }

    /// No more are to come: what only finds them is given up. The result is the names of the variables.
    pub fn finish(&mut self) -> Box<[u8]> {
        self.slots = Vec::new();
        self.variables = HashMap::default();
        std::mem::take(&mut self.variable_names).into()
    }
}

/// Where a text with that hash belongs in a table of `mask + 1` slots.
fn home(hash: u64, mask: usize) -> usize {
    (hash >> 32) as usize & mask
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} names", self.ends.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    const MANY: usize = if cfg!(miri) { 100 } else { 5000 };

    #[test]
    fn equal_texts_have_one_number() {
        let mut names = Names::default();
        for _ in 0..2 {
            for i in 0..MANY {
                assert_eq!(names.intern(format!("n{i}").as_bytes()).index(), i);
            }
            assert_eq!(names.intern(b"").index(), MANY);
        }
        let last = names.intern(b"n99");
        names.finish();
        assert_eq!((names.text(last), names.ends.len()), (&b"n99"[..], MANY + 1));
    }
}
