//! A connection of Lua's own whose small writes go out at the end of the turn, with those of all who write in it.
//!
//! What one turn's requests ask of a server then arrives while the server is awake, instead of waking it once for each. To whoever
//! writes it is as if the kernel had taken the bytes: a failure shows at the next write or read, as one on the way would.
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::stream::Stream;
use crate::turn;

pub(crate) struct Outlet {
    stream: Stream,
    staged: RefCell<Vec<u8>>,
    /// How long the staged bytes may take once the kernel has no room for them, in milliseconds; 0: for ever.
    ms: Cell<u64>,
    /// Why the staged bytes did not go out; whoever uses the connection next is told.
    failed: Cell<Option<io::Error>>,
}

/// More than this goes out at once.
const SMALL: usize = 4096;

impl Outlet {
    pub fn new(stream: Stream) -> Rc<Outlet> {
        let (staged, ms, failed) = (RefCell::default(), Cell::new(0), Cell::new(None));
        Rc::new(Outlet { stream, staged, ms, failed })
    }
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Takes a small write for the end of the turn; whether it did.
    pub fn take(self: &Rc<Self>, bytes: &[u8], ms: u64) -> bool {
        let mut staged = self.staged.borrow_mut();
        if staged.len() + bytes.len() > SMALL || self.has_failed() {
            return false;
        }
        self.ms.set(ms);
        let first = staged.is_empty();
        staged.extend_from_slice(bytes);
        if first {
            turn::at_end(self.clone());
        }
        true
    }

    fn has_failed(&self) -> bool {
        let failed = self.failed.take();
        let has = failed.is_some();
        self.failed.set(failed);
        has
    }

    /// Gives the kernel what is staged. `WouldBlock`: some of it is left.
    fn flush(&self) -> io::Result<()> {
        if let Some(e) = self.failed.take() {
            return Err(e);
        }
        let mut staged = self.staged.borrow_mut();
        while !staged.is_empty() {
            match self.stream.try_write(&staged) {
                Ok(count) if count == staged.len() => staged.clear(),
                Ok(count) => drop(staged.drain(..count)),
                Err(e) => {
                    if e.kind() != io::ErrorKind::WouldBlock {
                        staged.clear();
                    }
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        self.stream.try_write(bytes)
    }
    pub fn try_write_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush()?;
        self.stream.try_write_vectored(parts)
    }
    /// How many bytes were read; 0: the end.
    pub fn poll_read(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.stream.poll_read(cx, out) {
            Poll::Ready(Ok(0)) if !out.is_empty() => Poll::Ready(self.failed.take().map_or(Ok(0), Err)),
            polled => polled,
        }
    }

    async fn drain(&self) -> io::Result<()> {
        loop {
            match self.flush() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.stream.writable().await?,
                done => return done,
            }
        }
    }
}

impl turn::AtEnd for Outlet {
    fn turn_over(self: Rc<Self>) {
        match self.flush() {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                tokio::task::spawn_local(async move {
                    let done = match self.ms.get() {
                        0 => Some(self.drain().await),
                        ms => crate::alarm::within(Duration::from_millis(ms), self.drain()).await,
                    };
                    match done {
                        Some(Ok(())) => {}
                        Some(Err(e)) => self.failed.set(Some(e)),
                        None => {
                            self.staged.borrow_mut().clear();
                            self.failed.set(Some(io::ErrorKind::TimedOut.into()));
                        }
                    }
                });
            }
            Err(e) => self.failed.set(Some(e)),
        }
    }
    fn last_turn(&self) {
        // (what the kernel does not take now has nobody left to wait for it)
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream as Peer;

    use super::*;

    fn on_a_worker(job: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, job);
    }

    async fn pair() -> (Rc<Outlet>, Peer) {
        let (ours, theirs) = Peer::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let stream = Stream::from(tokio::net::UnixStream::from_std(ours).unwrap());
        stream.writable().await.unwrap();
        (Outlet::new(stream), theirs)
    }

    /// What the peer has got so far; None: the end.
    fn got(peer: &mut Peer) -> Option<String> {
        let mut bytes = [0; 1 << 16];
        match peer.read(&mut bytes) {
            Ok(0) => None,
            read => Some(String::from_utf8_lossy(&bytes[..read.unwrap_or(0)]).into_owned()),
        }
    }

    async fn turn() {
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn small_writes_go_out_together_and_in_order() {
        on_a_worker(async {
            let ((one, mut first), (two, mut second)) = (pair().await, pair().await);
            assert!(one.take(b"a", 0) && two.take(b"1", 0) && one.take(b"b", 0));
            assert_eq!((got(&mut first), got(&mut second)), (Some("".into()), Some("".into())));
            turn().await;
            assert_eq!((got(&mut first), got(&mut second)), (Some("ab".into()), Some("1".into())));
            // What is too large to wait takes with it what waits.
            assert!(one.take(b"c", 0) && !one.take(&[b'x'; SMALL], 0));
            assert_eq!(one.try_write(b"d").unwrap(), 1);
            assert_eq!(got(&mut first), Some("cd".into()));
            turn().await;
            assert_eq!(got(&mut first), Some("".into()));
            // Nobody has the connection any more: it closes after what was written.
            assert!(one.take(b"bye", 0));
            drop(one);
            turn().await;
            assert_eq!((got(&mut first), got(&mut first)), (Some("bye".into()), None));
        });
    }

    #[test]
    fn a_worker_that_ends_sends_what_was_written() {
        let mut peer = None;
        on_a_worker(async {
            let (outlet, theirs) = pair().await;
            assert!(outlet.take(b"last words", 0));
            peer = Some(theirs);
        });
        assert_eq!(got(&mut peer.unwrap()), Some("last words".into()));
    }

    #[test]
    fn a_failure_shows_at_the_next_use() {
        on_a_worker(async {
            let (outlet, peer) = pair().await;
            drop(peer);
            assert!(outlet.take(b"lost", 0));
            turn().await;
            assert!(!outlet.take(b"more", 0));
            assert_eq!(outlet.try_write(b"more").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            let (outlet, peer) = pair().await;
            drop(peer);
            assert!(outlet.take(b"lost", 0));
            turn().await;
            let read = std::future::poll_fn(|cx| outlet.poll_read(cx, &mut [0])).await;
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        });
    }

    #[test]
    fn what_the_kernel_has_no_room_for_goes_out_later() {
        on_a_worker(async {
            let (outlet, mut peer) = pair().await;
            let mut filled = 0;
            while let Ok(count) = outlet.try_write(&[b'.'; 4096]) {
                filled += count;
            }
            assert!(outlet.take(b"the end", 60_000));
            turn().await;
            let mut all = String::new();
            while all.len() < filled + 7 {
                all += &got(&mut peer).unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(all.ends_with(".the end"));
            // Nobody reads, and the time is up.
            while outlet.try_write(&[b'.'; 4096]).is_ok() {}
            assert!(outlet.take(b"too much", 1));
            while !outlet.has_failed() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(outlet.try_write(b"x").unwrap_err().kind(), io::ErrorKind::TimedOut);
        });
    }
}
