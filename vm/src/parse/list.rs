//! The tree's lists: one word each, nothing more when empty. A source may make a node of every other byte.
use std::ops::Deref;

#[derive(Debug)]
// (a boxed slice would take two words in the node)
#[allow(clippy::box_collection)]
pub struct List<T>(Option<Box<Vec<T>>>);

impl<T> List<T> {
    pub fn push(&mut self, item: T) {
        match &mut self.0 {
            Some(items) => items.push(item),
            empty => *empty = Some(Box::new(vec![item])),
        }
    }

    pub fn append(&mut self, items: &mut Vec<T>) {
        match &mut self.0 {
            Some(own) => own.append(items),
            empty => *empty = Some(Box::new(std::mem::take(items))),
        }
    }
}

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List(None)
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(mut items: Vec<T>) -> List<T> {
        // (few lists grow after they were read)
        if items.capacity() > 2 * items.len() {
            items.shrink_to_fit();
        }
        List((!items.is_empty()).then(|| Box::new(items)))
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_ref().map_or(&[], |items| &items[..])
    }
}

impl<'l, T> IntoIterator for &'l List<T> {
    type Item = &'l T;
    type IntoIter = std::slice::Iter<'l, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
