//! The source line of each instruction, in as few bytes as the function's length in lines allows.

/// Counted from the line where the function begins: one, two or four bytes an instruction.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    rows: Vec<u8>,
    first: u32,
    /// The power of two that a row's bytes are.
    width: u8,
}

impl Lines {
    pub fn new(first: u32) -> Lines {
        Lines { rows: Vec::new(), first, width: 0 }
    }

    fn len(&self) -> usize {
        self.rows.len() >> self.width
    }

    /// The bytes of all rows, and the power of two that a row's bytes are.
    pub fn into_rows(self) -> (Vec<u8>, u8) {
        (self.rows, self.width)
    }

    pub fn get(&self, at: usize) -> Option<u32> {
        Lines::row(self.first, (&self.rows, self.width), at)
    }

    /// One of the rows that `into_rows` has given.
    #[inline]
    pub fn row(first: u32, (rows, width): (&[u8], u8), at: usize) -> Option<u32> {
        let bytes = rows.get(at << width..(at + 1) << width)?;
        let beyond = match *bytes {
            [a] => u32::from(a),
            [a, b] => u32::from(u16::from_ne_bytes([a, b])),
            [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]),
            _ => return None,
        };
        Some(first.wrapping_add(beyond))
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.len()).map_while(|at| self.get(at))
    }

    pub fn push(&mut self, line: u32) {
        // (a line before the first one is far beyond it: `get` comes round again)
        let beyond = line.wrapping_sub(self.first);
        match self.width {
            0 if beyond <= u32::from(u8::MAX) => self.rows.push(beyond as u8),
            1 if beyond <= u32::from(u16::MAX) => self.rows.extend_from_slice(&(beyond as u16).to_ne_bytes()),
            2.. => self.rows.extend_from_slice(&beyond.to_ne_bytes()),
            narrow => {
                let (first, width) = (self.first, narrow + 1);
                let mut wider = Lines { rows: Vec::with_capacity(2 * self.rows.len() + 4), first, width };
                self.iter().for_each(|line| wider.push(line));
                *self = wider;
                self.push(line);
            }
        }
    }

    pub fn pop(&mut self) {
        self.rows.truncate(self.len().saturating_sub(1) << self.width);
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn lines_come_back_whatever_their_size() {
        let wanted = [7, 8, 7, 262, 263, 300, 70_000, 5, 0, u32::MAX, 65_542];
        let mut lines = Lines::new(7);
        for (at, line) in wanted.into_iter().enumerate() {
            lines.push(line);
            lines.push(1);
            lines.pop();
            assert_eq!(lines.get(at), Some(line));
        }
        assert_eq!(lines.iter().collect::<Vec<_>>(), wanted);
        assert_eq!((lines.len(), lines.get(wanted.len())), (wanted.len(), None));
    }
}
