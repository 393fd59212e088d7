//! Reading from a cosocket: lines, counted bytes, everything, up to a pattern.
//!
//! Bytes land in the connection's buffer; a read takes its part off the front when it is complete. A read that fails takes what
//! there is: that is the partial result.
use std::task::{Context, Poll, ready};

use super::{Connected, Failure};

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
#[derive(Clone, Debug)]
pub(crate) struct Until {
    pub boundary: Vec<u8>,
    pub inclusive: bool,
    /// The boundary was seen: the next call of a sized iterator gives nil once.
    pub done: bool,
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
        buffer.resize(used + room, 0);
        let read = self.stream.poll_read(cx, &mut buffer[used..]);
        let count = match &read {
            Poll::Ready(Ok(count)) => *count,
            _ => 0,
        };
        buffer.truncate(used + count);
        match ready!(read) {
            Ok(0) => {
                self.eof.set(true);
                Poll::Ready(Err(Failure::closed()))
            }
            Ok(_) => Poll::Ready(Ok(())),
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
    pub async fn read_until(&self, until: &mut Until, size: Option<usize>) -> Result<Option<Vec<u8>>, Failure> {
        if until.done {
            until.done = false;
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
                (Some(at), size) => {
                    let whole = if until.inclusive { at + boundary } else { at };
                    match size {
                        // More than was asked for: the boundary stays for a later step.
                        Some(size) if whole > size => return Ok(Some(self.take(size))),
                        Some(_) => {
                            let bytes = self.take(whole);
                            if !until.inclusive {
                                self.take(boundary);
                            }
                            until.done = true;
                            return Ok(Some(bytes));
                        }
                        None => {
                            let bytes = self.take(whole);
                            if !until.inclusive {
                                self.take(boundary);
                            }
                            return Ok(Some(bytes));
                        }
                    }
                }
                // So many bytes that cannot be part of the boundary.
                (None, Some(size)) if unread >= size + boundary => return Ok(Some(self.take(size))),
                (None, _) => searched = (unread + 1).saturating_sub(boundary),
            }
            self.fill().await?;
        }
    }
}
