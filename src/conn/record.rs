//! Sits between the socket and hyper. On the way in it parses each request's head itself and gives hyper a plain one with
//! nothing but the framing; on the way out it puts the real response head in the place of hyper's plain one. So hyper frames
//! bodies, and the heads are ours byte for byte: order, case, reason phrases, and nginx's words for what is refused.
//!
//! What must stay true: input is cut at the end of every head and every body, so hyper never holds bytes of two requests; and
//! no head is handed out before the last response is flushed, so a response head always begins a write.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::Instant;

use super::chunks::{Chunks, Progress};
use super::head::{self, Bad, Head, Limits};
use super::stream::Stream;

#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Head,
    /// A head was handed out; the service has not been called yet.
    Service,
    Body(u64),
    Chunked(Chunks),
    /// Nothing more is handed out: the connection ends.
    Nothing,
}

/// What the recorder and the request in service share.
pub struct Tape {
    pub stream: Rc<Stream>,
    expect: Cell<Expect>,
    head: RefCell<Option<Head>>,
    pub bad: RefCell<Option<Bad>>,
    pub limits: Cell<Limits>,
    /// The rendered head that goes out in the place of hyper's.
    pub reply: RefCell<Option<Vec<u8>>>,
    blocked: RefCell<Option<Waker>>,
    /// The response's last byte was given to hyper but maybe not yet to the socket.
    pub unflushed: Cell<bool>,
    pub in_service: Cell<bool>,
    /// When the connection began to wait for what it waits for now.
    pub since: Cell<Instant>,
    /// Bytes of a head have arrived.
    pub head_begun: Cell<bool>,
    /// Requests handed to the service so far.
    pub served: Cell<u64>,
    pub bytes_in: Cell<u64>,
    pub bytes_out: Cell<u64>,
    /// The response is broken off as soon as what there is of it is flushed.
    pub cutting: RefCell<Option<Waker>>,
    /// No further request on this connection.
    pub closing: Cell<bool>,
    pub eof: Cell<bool>,
    /// The request body broke the rules of chunked encoding.
    pub bad_body: Cell<bool>,
}

impl Tape {
    /// Called by the service, once per request.
    pub fn take_head(&self) -> Option<Head> {
        let head = self.head.borrow_mut().take()?;
        self.expect.set(match head.content_length {
            _ if head.chunked => Expect::Chunked(Chunks::new()),
            Some(length) if length > 0 => Expect::Body(length),
            _ => Expect::Head,
        });
        self.served.set(self.served.get() + 1);
        self.head_begun.set(false);
        self.wake();
        Some(head)
    }
    pub fn wake(&self) {
        if let Some(waker) = self.blocked.take() {
            waker.wake();
        }
    }
    /// The request body has not been read to its end.
    pub fn body_left(&self) -> bool {
        matches!(self.expect.get(), Expect::Body(_) | Expect::Chunked(_))
    }
    /// Between two requests.
    pub fn idle(&self) -> bool {
        self.expect.get() == Expect::Head && !self.in_service.get() && !self.unflushed.get()
    }
}

pub struct Recorder {
    pub tape: Rc<Tape>,
    /// Bytes read from the socket and not handed out yet.
    held: Vec<u8>,
    /// What is handed out before anything else: hyper's plain head.
    plain: Vec<u8>,
    /// How far `held` has been searched for the end of a head.
    searched: usize,
    /// What is left of a response head that could not be written at once.
    owed: Bytes,
}

/// How much is read from the socket at a time.
const READ: usize = 16 * 1024;

impl Recorder {
    pub fn new(stream: Rc<Stream>, limits: Limits) -> Recorder {
        let tape = Tape {
            stream,
            expect: Cell::new(Expect::Head),
            head: RefCell::default(),
            bad: RefCell::default(),
            limits: Cell::new(limits),
            reply: RefCell::default(),
            blocked: RefCell::default(),
            unflushed: Cell::new(false),
            in_service: Cell::new(false),
            since: Cell::new(Instant::now()),
            head_begun: Cell::new(false),
            served: Cell::new(0),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            cutting: RefCell::default(),
            closing: Cell::new(false),
            eof: Cell::new(false),
            bad_body: Cell::new(false),
        };
        Recorder { tape: Rc::new(tape), held: Vec::new(), plain: Vec::new(), searched: 0, owed: Bytes::new() }
    }

    /// More bytes into `held`. Ready(false): end of input.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let before = self.held.len();
        self.held.resize(before + READ, 0);
        let read = self.tape.stream.poll_read(cx, &mut self.held[before..]);
        let count = match &read {
            Poll::Ready(Ok(count)) => *count,
            _ => 0,
        };
        self.held.truncate(before + count);
        let count = ready!(read)?;
        self.tape.bytes_in.set(self.tape.bytes_in.get() + count as u64);
        if count == 0 {
            self.tape.eof.set(true);
        }
        Poll::Ready(Ok(count > 0))
    }

    /// A whole head in `held`? Then parse it and make hyper's plain one.
    fn head(&mut self) -> bool {
        let tape = &*self.tape;
        let blank = if self.searched == 0 { head::leading_blank(&self.held) } else { 0 };
        if blank > 0 {
            self.held.drain(..blank);
        }
        if self.held.is_empty() {
            return false;
        }
        if !tape.head_begun.replace(true) {
            tape.since.set(Instant::now());
        }
        let limits = tape.limits.get();
        let Some(end) = self.head_end() else {
            self.searched = self.held.len();
            if let Some(bad) = head::too_large(&self.held, &limits) {
                return self.refuse(bad);
            }
            return false;
        };
        self.searched = 0;
        let raw = Bytes::copy_from_slice(&self.held[..end]);
        self.held.drain(..end);
        let head = match head::parse(raw, &limits) {
            Ok(head) => head,
            Err(bad) => return self.refuse(bad),
        };
        let plain = &mut self.plain;
        plain.clear();
        plain.extend_from_slice(if head.method == b"HEAD"[..] { b"HEAD" } else { b"GET" });
        plain.extend_from_slice(if head.version >= 11 { b" / HTTP/1.1\r\n" } else { b" / HTTP/1.0\r\n" });
        if let Some(length) = head.content_length {
            plain.extend_from_slice(b"content-length: ");
            plain.extend_from_slice(length.to_string().as_bytes());
            plain.extend_from_slice(b"\r\n");
        }
        if head.chunked {
            plain.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        if head.expect {
            plain.extend_from_slice(b"expect: 100-continue\r\n");
        }
        plain.extend_from_slice(if head.keep_alive {
            b"connection: keep-alive\r\n\r\n"
        } else {
            b"connection: close\r\n\r\n"
        });
        *tape.head.borrow_mut() = Some(head);
        tape.expect.set(Expect::Service);
        true
    }

    fn head_end(&self) -> Option<usize> {
        if let Some(end) = head::end(&self.held, self.searched) {
            return Some(end);
        }
        // HTTP/0.9 has no version and no headers: its line is the whole request.
        let line_end = memchr::memchr(b'\n', &self.held)?;
        let line = self.held[..line_end].strip_suffix(b"\r").unwrap_or(&self.held[..line_end]);
        let words = line.split(|&b| b == b' ').filter(|word| !word.is_empty()).count();
        (words == 2 && line.starts_with(b"GET ")).then_some(line_end + 1)
    }

    /// hyper sees the end of the input; the connection's owner writes the answer.
    fn refuse(&mut self, bad: Bad) -> bool {
        *self.tape.bad.borrow_mut() = Some(bad);
        self.tape.expect.set(Expect::Nothing);
        true
    }

    fn hand_out(&mut self, out: &mut ReadBufCursor<'_>) {
        let room = out.remaining();
        if !self.plain.is_empty() {
            let count = room.min(self.plain.len());
            out.put_slice(&self.plain[..count]);
            self.plain.drain(..count);
            return;
        }
        let mut count = room.min(self.held.len());
        match self.tape.expect.get() {
            Expect::Body(left) => {
                count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - count as u64;
                self.tape.expect.set(if left == 0 { Expect::Head } else { Expect::Body(left) });
            }
            Expect::Chunked(mut chunks) => match chunks.follow(&self.held[..count]) {
                Progress::More => self.tape.expect.set(Expect::Chunked(chunks)),
                Progress::End(end) => {
                    count = end;
                    self.tape.expect.set(Expect::Head);
                }
                // hyper finds the same fault and says so; nothing follows on this connection.
                Progress::Invalid => {
                    self.tape.bad_body.set(true);
                    self.tape.expect.set(Expect::Nothing);
                }
            },
            Expect::Head | Expect::Service | Expect::Nothing => count = 0,
        }
        out.put_slice(&self.held[..count]);
        self.held.drain(..count);
    }

    /// Sends what is owed of a head. Ready(Ok) once nothing is.
    fn pay(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.owed.is_empty() {
            let count = ready!(self.tape.stream.poll_write(cx, &[IoSlice::new(&self.owed)]))?;
            self.wrote(count);
            let _ = self.owed.split_to(count);
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&self, count: usize) {
        self.tape.bytes_out.set(self.tape.bytes_out.get() + count as u64);
    }

    /// Writes hyper's bytes with its plain head replaced, if one is due. Returns how many of hyper's bytes are done.
    fn write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.pay(cx))?;
        let first = bufs.iter().position(|buf| !buf.is_empty()).unwrap_or(0);
        let Some(buf) = bufs.get(first) else { return Poll::Ready(Ok(0)) };
        if self.tape.reply.borrow().is_none() {
            let count = ready!(self.tape.stream.poll_write(cx, &bufs[first..]))?;
            self.wrote(count);
            return Poll::Ready(Ok(count));
        }
        // hyper writes `HTTP/1.1 100 Continue` by itself; it goes out as it is, before the head.
        let Some(end) = memchr::memmem::find(buf, b"\r\n\r\n").map(|at| at + 4) else {
            return Poll::Ready(Err(io::Error::other("a response head was cut")));
        };
        if buf.starts_with(b"HTTP/1.1 100 ") {
            let count = ready!(self.tape.stream.poll_write(cx, &[IoSlice::new(&buf[..end])]))?;
            self.wrote(count);
            return Poll::Ready(Ok(count));
        }
        let head = Bytes::from(self.tape.reply.take().unwrap_or_default());
        let mut all: smallvec::SmallVec<[IoSlice<'_>; 8]> = smallvec::smallvec![IoSlice::new(&head)];
        all.push(IoSlice::new(&buf[end..]));
        all.extend(bufs[first + 1..].iter().take(6).map(|buf| IoSlice::new(buf)));
        let count = match self.tape.stream.poll_write(cx, &all)? {
            Poll::Ready(count) => count,
            Poll::Pending => 0,
        };
        self.wrote(count);
        self.owed = head.slice(count.min(head.len())..);
        Poll::Ready(Ok(end + count.saturating_sub(head.len())))
    }
}

impl Read for Recorder {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut out: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.plain.is_empty() {
                this.hand_out(&mut out);
                return Poll::Ready(Ok(()));
            }
            match this.tape.expect.get() {
                Expect::Nothing => return Poll::Ready(Ok(())),
                Expect::Body(_) | Expect::Chunked(_) => {
                    if this.held.is_empty() && !ready!(this.fill(cx))? {
                        return Poll::Ready(Ok(()));
                    }
                    this.hand_out(&mut out);
                    return Poll::Ready(Ok(()));
                }
                Expect::Head if this.tape.idle() => {
                    if this.tape.closing.get() {
                        return Poll::Ready(Ok(()));
                    }
                    // `head` is true also for a refused one, which ends the input.
                    if this.head() {
                        continue;
                    }
                    if !ready!(this.fill(cx))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                // hyper asks only to notice a client that goes away; whether that matters is not its decision.
                Expect::Head | Expect::Service => {
                    *this.tape.blocked.borrow_mut() = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Write for Recorder {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, &[IoSlice::new(bytes)])
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.pay(cx))?;
        if self.tape.unflushed.replace(false) {
            if let Some(waker) = self.tape.cutting.take() {
                waker.wake();
            }
            if self.tape.idle() {
                self.tape.since.set(Instant::now());
                self.tape.wake();
            }
        }
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Closing is the owner's business: a refused head still gets its answer.
        self.pay(cx)
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, bufs)
    }
}
