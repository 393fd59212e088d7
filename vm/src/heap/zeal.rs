//! GC zeal: a machine under test collects at every point where it may.
//!
//! The collector runs between slices only, so a zealous machine's slices are one or two units of fuel long: every loop turn and every
//! call may be the end of one. What happens there is up to a dice, as seeded: a bit of marking, all of it (everything that lives is
//! black then, so that a store without its write barrier loses what it stored), a bit of sweeping, all of it, or a whole collection.
//! With the feature `zeal` every machine is zealous from its birth, freed blocks are overwritten, and small blocks come from the
//! system one by one, so that AddressSanitizer sees the ends of each.
use std::cell::Cell;

/// Off, or the state of its dice.
#[derive(Default)]
pub(crate) struct Zeal {
    dice: Cell<u64>,
    /// So many safe points are passed over: those after a collection of many objects.
    rest: Cell<usize>,
}

/// What is to be done at a safe point.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    Nothing,
    /// Marks or sweeps so many objects' worth.
    Some(f64),
    /// Finishes the present phase: all marked, or all swept.
    Phase,
    /// The two halves of a cycle's middle: what is marked is final, weak tables lose their dead entries.
    EndMarking,
    Full,
}

impl Zeal {
    /// Off, unless the crate is built for zeal.
    pub fn new() -> Zeal {
        let zeal = Zeal::default();
        #[cfg(feature = "zeal")]
        zeal.set(1);
        zeal
    }
    /// On, with a seed; 0 is off.
    pub fn set(&self, seed: u64) {
        self.dice.set(seed);
    }
    pub fn is_on(&self) -> bool {
        self.dice.get() != 0
    }
    fn roll(&self, sides: u64) -> u64 {
        let mut x = self.dice.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.dice.set(x);
        (x >> 16) % sides
    }
    /// A slice's fuel. (With none at all a call would not be made.)
    pub fn fuel(&self) -> i64 {
        1 + self.roll(2) as i64
    }
    /// The next safe point's turn, with so many objects alive.
    pub fn turn(&self, objects: usize) -> Turn {
        if !self.is_on() {
            return Turn::Nothing;
        }
        if self.rest.get() > 0 {
            self.rest.set(self.rest.get() - 1);
            return Turn::Nothing;
        }
        // (a large heap is not walked at every step: a program would never end)
        self.rest.set(objects / LARGE);
        match self.roll(16) {
            0..4 => Turn::Some((1 + self.roll(objects as u64 / 2 + 1)) as f64),
            4..9 => Turn::Phase,
            9..14 => Turn::EndMarking,
            _ => Turn::Full,
        }
    }
}

/// Objects: a heap of more is not looked at at every safe point.
const LARGE: usize = 4096;
