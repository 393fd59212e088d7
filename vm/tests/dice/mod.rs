//! Repeatable chance for the made-up inputs of every crate's tests: a failure names the number that its input came from.
#![allow(dead_code, clippy::unwrap_used)]

/// Numbers out of a number: splitmix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
    /// Below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        usize::try_from(self.word() % sides as u64).unwrap()
    }
    /// Once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.roll(times) == 0
    }
    pub fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.roll(of.len())]
    }
    /// Takes bytes away, doubles them, changes them, puts one of `special` in, swaps halves.
    pub fn mutate(&mut self, text: &mut Vec<u8>, special: &[u8]) {
        for _ in 0..self.roll(4) {
            if text.is_empty() {
                return;
            }
            let (at, length) = (self.roll(text.len()), self.roll(12) + 1);
            let end = (at + length).min(text.len());
            match self.roll(5) {
                0 => drop(text.drain(at..end)),
                1 => {
                    let part = text[at..end].to_vec();
                    text.splice(at..at, part);
                }
                2 => text[at] = self.roll(256) as u8,
                3 => text.insert(at, special[self.roll(special.len())]),
                _ => text.rotate_left(at),
            }
        }
    }
}

/// So many inputs of a kind, times PERILUNE_FUZZ=FACTOR.
pub fn rounds(usual: u64) -> u64 {
    usual * std::env::var("PERILUNE_FUZZ").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}
