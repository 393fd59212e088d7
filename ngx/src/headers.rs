//! A list of header lines: order, case and duplicates as they are on the wire. Lookups ignore case.
use crate::bytes::Bytes;

#[derive(Clone, Debug, Default)]
pub struct Headers {
    lines: Vec<(Bytes, Bytes)>,
}

impl Headers {
    pub fn new() -> Headers {
        Headers::default()
    }
    pub fn with_capacity(n: usize) -> Headers {
        Headers { lines: Vec::with_capacity(n) }
    }
    pub fn len(&self) -> usize {
        self.lines.len()
    }
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Bytes, &Bytes)> {
        self.lines.iter().map(|(name, value)| (name, value))
    }
    /// The value of the first line of that name.
    pub fn first(&self, name: &[u8]) -> Option<&Bytes> {
        self.lines.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
    /// The values of all lines of that name, in order.
    pub fn all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a Bytes> {
        self.lines.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
    pub fn contains(&self, name: &[u8]) -> bool {
        self.first(name).is_some()
    }
    /// Adds a line at the end.
    pub fn add(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.lines.push((name.into(), value.into()));
    }
    /// Replaces all lines of that name by one, in the place of the first.
    pub fn set(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (name, value) = (name.into(), value.into());
        match self.lines.iter().position(|(n, _)| n.eq_ignore_ascii_case(&name)) {
            Some(at) => {
                let mut index = 0;
                self.lines.retain(|(n, _)| {
                    index += 1;
                    index - 1 <= at || !n.eq_ignore_ascii_case(&name)
                });
                self.lines[at] = (name, value);
            }
            None => self.lines.push((name, value)),
        }
    }
    /// Removes all lines of that name; tells whether there was one.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let before = self.lines.len();
        self.lines.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.lines.len() != before
    }
}
