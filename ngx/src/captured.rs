//! The error log's latest lines, kept in memory for Lua (`lua_capture_error_log`, `ngx.errlog`).
//!
//! It never grows: lines lie one after the other in a ring of bytes, each behind a header, and the newest pushes out as many of
//! the oldest as it needs room. A line is in one piece: what does not fit before the ring's end begins at its start.
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::log::Level;

/// Shared by all workers of a configuration.
pub struct Captured(Mutex<Ring>);

/// One line as it was logged, without its end.
#[derive(Debug, PartialEq)]
pub struct Line {
    pub level: Level,
    /// Seconds since the epoch.
    pub time: f64,
    pub text: Vec<u8>,
}

struct Ring {
    bytes: Vec<u8>,
    /// The lines in it, the oldest first.
    lines: VecDeque<Place>,
    /// Where the next line's header goes.
    tail: usize,
    /// `set_filter_level`: nothing below is kept.
    filter: Level,
}

struct Place {
    at: usize,
    length: usize,
    level: Level,
    time: f64,
}

/// What a line takes besides its bytes.
const HEADER: usize = 16;

impl std::fmt::Debug for Captured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Captured({} lines)", self.ring().lines.len())
    }
}

impl Captured {
    /// `size`: bytes in all.
    pub fn new(size: usize) -> Captured {
        Captured(Mutex::new(Ring { bytes: vec![0; size], lines: VecDeque::new(), tail: 0, filter: Level::Debug }))
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_filter(&self, level: Level) {
        self.ring().filter = level;
    }

    /// Keeps a line, unless it is filtered out or longer than the whole ring.
    pub fn push(&self, level: Level, time: f64, text: &[u8]) {
        self.ring().push(level, time, text);
    }

    /// The lines, the oldest first.
    pub fn all(&self) -> Vec<Vec<u8>> {
        let ring = self.ring();
        ring.lines.iter().filter_map(|place| ring.text(place)).collect()
    }

    /// Takes the oldest line out.
    pub fn pop(&self) -> Option<Line> {
        let mut ring = self.ring();
        let place = ring.lines.pop_front()?;
        let text = ring.text(&place)?;
        Some(Line { level: place.level, time: place.time, text })
    }
}

impl Ring {
    fn text(&self, place: &Place) -> Option<Vec<u8>> {
        let from = place.at.saturating_add(HEADER);
        self.bytes.get(from..from.saturating_add(place.length)).map(<[u8]>::to_vec)
    }

    fn push(&mut self, level: Level, time: f64, text: &[u8]) {
        let need = text.len().saturating_add(HEADER);
        if level > self.filter || need > self.bytes.len() {
            return;
        }
        loop {
            let Some(oldest) = self.lines.front() else {
                self.tail = 0;
                break;
            };
            if self.tail > oldest.at {
                // (the lines lie in one piece; room is behind them, or at the start)
                if self.bytes.len().saturating_sub(self.tail) >= need {
                    break;
                }
                self.tail = 0;
            } else if oldest.at.saturating_sub(self.tail) >= need {
                break;
            } else {
                self.lines.pop_front();
            }
        }
        let from = self.tail.saturating_add(HEADER);
        if let Some(room) = self.bytes.get_mut(from..from.saturating_add(text.len())) {
            room.copy_from_slice(text);
            self.lines.push_back(Place { at: self.tail, length: text.len(), level, time });
            self.tail = self.tail.saturating_add(need);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes words and tells which are left: `(size, words, left)`.
    #[test]
    fn the_newest_push_out_the_oldest() {
        for (size, words, left) in [
            (100, "a b c", "a b c"),
            // (17 bytes each)
            (34, "a b c", "b c"),
            (51, "a b c d e", "c d e"),
            // What does not fit at the end goes to the start, and the rest of the end stays empty.
            (50, "a b c d", "c d"),
            (60, "a b ccccccccccccccc d", "ccccccccccccccc d"),
            // Longer than the ring: never kept, and it pushes nothing out.
            (20, "a bbbbb", "a"),
            (16, "a", ""),
            (0, "a", ""),
        ] {
            let ring = Captured::new(size);
            words.split(' ').for_each(|word| ring.push(Level::Error, 1.0, word.as_bytes()));
            let texts: Vec<String> = std::iter::from_fn(|| ring.pop())
                .map(|line| String::from_utf8_lossy(&line.text).into_owned())
                .collect();
            assert_eq!(texts.join(" "), left, "{size} {words}");
        }
    }

    #[test]
    fn what_was_taken_out_leaves_room() {
        let ring = Captured::new(40);
        for round in 0..100_u8 {
            ring.push(Level::Warn, f64::from(round), &[round]);
            ring.push(Level::Info, f64::from(round), &[round]);
            let line = Line { level: Level::Warn, time: f64::from(round), text: vec![round] };
            assert_eq!(ring.pop(), Some(line));
            ring.set_filter(Level::Warn);
            ring.push(Level::Notice, 0.0, b"filtered");
            ring.set_filter(Level::Debug);
            assert_eq!(ring.pop().map(|line| line.level), Some(Level::Info));
            assert_eq!(ring.pop(), None);
        }
    }
}
