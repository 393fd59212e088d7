//! Chance for tests: the same numbers every time (xorshift).

pub struct Chance(u64);

impl Chance {
    pub fn new() -> Chance {
        Chance(0x2545_f491_4f6c_dd1d)
    }
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}
