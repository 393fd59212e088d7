//! Reading from a cosocket: lines, counted bytes, everything, up to a pattern.
//!
//! Bytes land in the connection's buffer; a read takes its part off the front when it is complete. A read that fails takes what
//! there is: that is the partial result.
use std::cell::Cell;
use std::io;
use std::task::{Context, Poll, ready};

use super::{Connected, Failure};
use crate::stream::gather;

/// What one read waits for.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    /// Up to a newline, which is dropped; carriage returns are dropped, too.
    Line,
    Count(usize),
    /// Until the peer closes.
    All,
    /// Whatever comes first, at most so many bytes.
    Any(usize),
}

/// The state of a `receiveuntil` iterator.
#[derive(Debug)]
pub(crate) struct Until {
    pub boundary: Vec<u8>,
    /// For each prefix of the boundary the length of its longest proper end that is a prefix, too.
    borders: Vec<usize>,
    pub inclusive: bool,
    /// The boundary was seen: the next call of a sized iterator gives nil once.
    done: Cell<bool>,
}

const CHUNK: usize = 4096;

impl Connected {
    fn unread(&self) -> usize {
        self.buffer.borrow().len() - self.start.get()
    }
    pub fn has_unread(&self) -> bool {
        self.unread() > 0
    }
    /// Takes `n` bytes off the buffer's front.
    fn take(&self, n: usize) -> Vec<u8> {
        let mut buffer = self.buffer.borrow_mut();
        let from = self.start.get();
        let bytes = buffer[from..from + n].to_vec();
        if from + n == buffer.len() {
            buffer.clear();
            self.start.set(0);
        } else {
            self.start.set(from + n);
        }
        bytes
    }
    /// Everything that is unread: the partial result of a failed read.
    pub fn take_all(&self) -> Vec<u8> {
        self.take(self.unread())
    }

    /// Reads more.
    async fn fill(&self) -> Result<(), Failure> {
        if self.eof.get() {
            return Err(Failure::closed());
        }
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }
    fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut buffer = self.buffer.borrow_mut();
        let from = self.start.replace(0);
        buffer.drain(..from);
        let used = buffer.len();
        // (larger reads for larger bodies)
        let room = CHUNK.max(used.min(256 * 1024));
        let read = gather(&mut buffer, room, |part| self.stream.poll_read(cx, part));
        match ready!(read) {
            Ok(0) => {
                self.eof.set(true);
                Poll::Ready(Err(Failure::closed()))
            }
            Ok(_) => Poll::Ready(Ok(())),
            // (how a lent connection says that the client is gone)
            Err(e) if self.is_client() && e.kind() == io::ErrorKind::ConnectionAborted => {
                self.eof.set(true);
                Poll::Ready(Err(Failure::silent("client aborted")))
            }
            Err(e) => {
                self.eof.set(true);
                Poll::Ready(Err(Failure::io("recv", &e)))
            }
        }
    }

    /// The result, if the buffer holds it already.
    pub fn ready(&self, pattern: &Pattern) -> Option<Vec<u8>> {
        let n = self.unread();
        match pattern {
            Pattern::Line => {
                let at = memchr::memchr(b'\n', &self.buffer.borrow()[self.start.get()..])?;
                let mut line = self.take(at + 1);
                line.pop();
                if line.contains(&b'\r') {
                    line.retain(|c| *c != b'\r');
                }
                Some(line)
            }
            Pattern::Count(want) if n >= *want => Some(self.take(*want)),
            Pattern::Any(max) if n > 0 => Some(self.take(n.min(*max))),
            _ => None,
        }
    }

    pub async fn read(&self, pattern: &Pattern) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(bytes) = self.ready(pattern) {
                return Ok(bytes);
            }
            match self.fill().await {
                Ok(()) => {}
                Err(e) if matches!(pattern, Pattern::All) && e == Failure::closed() => return Ok(self.take_all()),
                Err(e) => return Err(e),
            }
        }
    }

    /// One step of a `receiveuntil` iterator: the bytes before the boundary, or (with a size) at most so many of them. None: the
    /// boundary was reached by the previous step.
    pub async fn read_until(&self, until: &Until, size: Option<usize>) -> Result<Option<Vec<u8>>, Failure> {
        if until.done.replace(false) {
            return Ok(None);
        }
        let mut searched = 0;
        loop {
            let (found, unread) = {
                let buffer = self.buffer.borrow();
                let bytes = &buffer[self.start.get()..];
                let from = searched.min(bytes.len());
                (memchr::memmem::find(&bytes[from..], &until.boundary).map(|at| from + at), bytes.len())
            };
            let boundary = until.boundary.len();
            match (found, size) {
                // As many bytes before it as were asked for: it stays for the next step.
                (Some(at), Some(size)) if at >= size => return Ok(Some(self.take(size))),
                (Some(at), size) => {
                    let bytes = self.take(if until.inclusive { at + boundary } else { at });
                    if !until.inclusive {
                        self.take(boundary);
                    }
                    until.done.set(size.is_some());
                    return Ok(Some(bytes));
                }
                (None, Some(size)) if unread >= size && unread - self.pending_part(until) >= size => {
                    return Ok(Some(self.take(size)));
                }
                (None, _) => searched = (unread + 1).saturating_sub(boundary),
            }
            self.fill().await?;
        }
    }

    /// How many of the last unread bytes may be the boundary's beginning.
    fn pending_part(&self, until: &Until) -> usize {
        let buffer = self.buffer.borrow();
        let bytes = &buffer[self.start.get()..];
        let from = bytes.len().saturating_sub(until.boundary.len() - 1);
        let mut matched = 0;
        for byte in &bytes[from..] {
            while matched > 0 && until.boundary[matched] != *byte {
                matched = until.borders[matched - 1];
            }
            matched += usize::from(until.boundary[matched] == *byte);
        }
        matched
    }
}

impl Until {
    pub fn new(boundary: Vec<u8>, inclusive: bool) -> Until {
        let mut borders = vec![0; boundary.len()];
        let mut matched = 0;
        for at in 1..boundary.len() {
            while matched > 0 && boundary[matched] != boundary[at] {
                matched = borders[matched - 1];
            }
            matched += usize::from(boundary[matched] == boundary[at]);
            borders[at] = matched;
        }
        Until { boundary, borders, inclusive, done: Cell::new(false) }
    }
}
