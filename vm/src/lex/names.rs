//! Every distinct name and string of a chunk, once.
use std::collections::HashMap;
use std::rc::Rc;

/// A name or string of the chunk, by number: equal text, equal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(u32);

impl Symbol {
    /// Numbers are given from 0 on.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Default)]
pub struct Names {
    texts: Vec<Rc<[u8]>>,
    // Seeded, since the chunk's author may be a stranger who picks colliding strings.
    numbers: HashMap<Rc<[u8]>, Symbol, ahash::RandomState>,
}

impl Names {
    pub fn intern(&mut self, text: &[u8]) -> Symbol {
        if let Some(&symbol) = self.numbers.get(text) {
            return symbol;
        }
        let symbol = Symbol(self.texts.len() as u32);
        let text: Rc<[u8]> = text.into();
        self.texts.push(text.clone());
        self.numbers.insert(text, symbol);
        symbol
    }

    pub fn text(&self, symbol: Symbol) -> &Rc<[u8]> {
        &self.texts[symbol.0 as usize]
    }
}
