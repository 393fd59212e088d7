//! The source line of each instruction, in as few bytes as the function's length in lines allows.

/// Counted from the line where the function begins: one, two or four bytes an instruction.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    first: u32,
    rows: Rows,
}

#[derive(Clone, Debug)]
enum Rows {
    One(Vec<u8>),
    Two(Vec<u16>),
    Four(Vec<u32>),
}

impl Default for Rows {
    fn default() -> Rows {
        Rows::One(Vec::new())
    }
}

impl Lines {
    pub fn new(first: u32) -> Lines {
        Lines { first, rows: Rows::One(Vec::new()) }
    }

    pub fn len(&self) -> usize {
        match &self.rows {
            Rows::One(rows) => rows.len(),
            Rows::Two(rows) => rows.len(),
            Rows::Four(rows) => rows.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn get(&self, at: usize) -> Option<u32> {
        let beyond = match &self.rows {
            Rows::One(rows) => u32::from(*rows.get(at)?),
            Rows::Two(rows) => u32::from(*rows.get(at)?),
            Rows::Four(rows) => *rows.get(at)?,
        };
        Some(self.first.wrapping_add(beyond))
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.len()).map_while(|at| self.get(at))
    }

    pub fn push(&mut self, line: u32) {
        // (a line before the first one is far beyond it: `get` comes round again)
        let beyond = line.wrapping_sub(self.first);
        match &mut self.rows {
            Rows::One(rows) => match u8::try_from(beyond) {
                Ok(beyond) => rows.push(beyond),
                Err(_) => {
                    self.rows = Rows::Two(rows.iter().map(|row| u16::from(*row)).collect());
                    self.push(line);
                }
            },
            Rows::Two(rows) => match u16::try_from(beyond) {
                Ok(beyond) => rows.push(beyond),
                Err(_) => {
                    self.rows = Rows::Four(rows.iter().map(|row| u32::from(*row)).collect());
                    self.push(line);
                }
            },
            Rows::Four(rows) => rows.push(beyond),
        }
    }

    pub fn pop(&mut self) {
        match &mut self.rows {
            Rows::One(rows) => drop(rows.pop()),
            Rows::Two(rows) => drop(rows.pop()),
            Rows::Four(rows) => drop(rows.pop()),
        }
    }

    /// No more are to come.
    pub fn finish(&mut self) {
        match &mut self.rows {
            Rows::One(rows) => rows.shrink_to_fit(),
            Rows::Two(rows) => rows.shrink_to_fit(),
            Rows::Four(rows) => rows.shrink_to_fit(),
        }
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
        lines.finish();
        assert_eq!(lines.iter().collect::<Vec<_>>(), wanted);
        assert_eq!((lines.len(), lines.get(wanted.len())), (wanted.len(), None));
    }
}
