//! A client's connection as the request in service sees it: the response on its way out, the request body on its way in.
//!
//! Output gathers and is written as soon as it must be (flushed, ended, or too much of it): a small response is one system call.
//! Nothing is written behind the handler's back, so back-pressure is an await of the handler's own.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ngx::bytes::Bytes;
use ngx::request::ClientGone;

use super::chunks::{Chunks, Piece};
use crate::http::Active;
use ngx::stream::{Stream, gather};

/// How the response body is framed, and what comes after it.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    pub framing: Framing,
    pub keep_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Framing {
    /// No body at all, whatever the head says (HEAD, 204, 304).
    None,
    Length(u64),
    Chunked,
    /// The end of the connection ends the body.
    Close,
}

/// What is left of the request body.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Incoming {
    Nothing,
    Length(u64),
    Chunked(Chunks),
}

/// Output that may wait before the handler is held back.
const HIGH_WATER: usize = 64 * 1024;
/// Pieces at least this large are queued as they are, smaller ones are copied together.
const LARGE: usize = 8 * 1024;
/// How much of a file goes out by one system call: others have their turn in between.
const SENDFILE: usize = 512 * 1024;
/// How much is read from the socket at a time.
const READ: usize = 16 * 1024;

pub struct Wire {
    pub stream: Stream,
    /// Bytes read from the socket; those before `start` are used up.
    input: RefCell<Vec<u8>>,
    start: Cell<usize>,
    incoming: Cell<Incoming>,
    /// `Expect: 100-continue` was asked, and not answered yet.
    expect: Cell<bool>,
    /// The client has closed its sending side.
    pub eof: Cell<bool>,
    /// The request body broke the rules of chunked encoding.
    pub bad_body: Cell<bool>,
    /// The connection was given to Lua as it is (`ngx.req.socket(true)`).
    pub given_up: Cell<bool>,
    out: RefCell<Out>,
    reply: Cell<Option<Reply>>,
    /// Body bytes since the head.
    sent: Cell<u64>,
    /// The response is complete.
    pub ended: Cell<bool>,
    /// The connection broke while we wrote.
    pub gone: Cell<bool>,
    send_timeout: Cell<Duration>,
    /// How long the connection may wait for its next request.
    pub keepalive: Cell<Duration>,
    /// The response waits for the end of the turn.
    later: Cell<bool>,
    /// The request whose response that is, so that it counts as long as it has not gone out.
    held: Cell<Option<Active>>,
    /// The request's head was there when the one before was answered.
    pub pipelined: Cell<bool>,
}

impl ngx::turn::AtEnd for Wire {
    fn turn_over(self: Rc<Self>) {
        self.later.set(false);
        let held = self.held.take();
        match self.write_now() {
            Ok(true) => self.shrink(),
            Ok(false) => {
                tokio::task::spawn_local(async move {
                    let _held = held;
                    if self.drained(true).await.is_err() {
                        self.stream.shutdown_write();
                    }
                });
            }
            // The connection's task will find that it broke.
            Err(ClientGone) => {}
        }
    }
    fn last_turn(&self) {
        // (whoever waits for the rest is gone with the worker)
        let _ = self.write_now();
    }
}

#[derive(Default)]
struct Out {
    /// Frozen pieces, the first one written up to `done`.
    queue: std::collections::VecDeque<Vec<u8>>,
    done: usize,
    /// Small pieces since the last frozen one.
    tail: Vec<u8>,
    waiting: usize,
}

impl Wire {
    pub fn new(stream: Stream) -> Wire {
        Wire {
            stream,
            input: RefCell::default(),
            start: Cell::new(0),
            incoming: Cell::new(Incoming::Nothing),
            expect: Cell::new(false),
            eof: Cell::new(false),
            bad_body: Cell::new(false),
            given_up: Cell::new(false),
            out: RefCell::default(),
            reply: Cell::new(None),
            sent: Cell::new(0),
            ended: Cell::new(false),
            gone: Cell::new(false),
            send_timeout: Cell::new(Duration::from_secs(60)),
            keepalive: Cell::new(Duration::from_secs(75)),
            later: Cell::new(false),
            held: Cell::new(None),
            pipelined: Cell::new(false),
        }
    }

    /// A request begins: nothing of its response exists, its body is framed like this.
    pub fn begin(&self, content_length: Option<u64>, chunked: bool, expect: bool) {
        self.incoming.set(match content_length {
            _ if chunked => Incoming::Chunked(Chunks::new()),
            Some(length) if length > 0 => Incoming::Length(length),
            _ => Incoming::Nothing,
        });
        self.expect.set(expect);
        self.reply.set(None);
        self.ended.set(false);
    }
    pub fn send_timeout(&self, limit: Duration) {
        self.send_timeout.set(limit);
    }

    // Input.

    /// The bytes that were read and not used yet.
    pub fn with_input<T>(&self, f: impl FnOnce(&[u8]) -> T) -> T {
        f(self.input.borrow().get(self.start.get()..).unwrap_or(&[]))
    }
    /// Marks input as used up.
    pub fn consume(&self, count: usize) {
        let mut input = self.input.borrow_mut();
        let start = self.start.get() + count;
        if start >= input.len() {
            input.clear();
            self.start.set(0);
        } else {
            self.start.set(start);
        }
    }
    /// The next `count` bytes; without a copy where they are all there is, as a request's head mostly is.
    pub fn take(&self, count: usize) -> Bytes {
        let mut input = self.input.borrow_mut();
        if self.start.get() == 0 && count == input.len() && count == input.capacity() {
            return Bytes::from(std::mem::take(&mut *input));
        }
        drop(input);
        let bytes = self.with_input(|bytes| Bytes::copy_from_slice(&bytes[..count]));
        self.consume(count);
        bytes
    }
    /// Gives back the buffers that are empty: the connection is about to be idle.
    pub fn shrink(&self) {
        let mut input = self.input.borrow_mut();
        if input.is_empty() && input.capacity() > 0 {
            *input = Vec::new();
        }
        let mut out = self.out.borrow_mut();
        if out.waiting == 0 && out.tail.capacity() + out.queue.capacity() > 0 {
            *out = Out::default();
        }
    }
    /// Reads what comes; at the end of input `eof` is set.
    pub fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut input = self.input.borrow_mut();
        let start = self.start.replace(0);
        input.drain(..start);
        let read = gather(&mut input, READ, |part| self.stream.poll_read(cx, part));
        match ready!(read) {
            Ok(0) => {
                self.eof.set(true);
                Poll::Ready(Ok(()))
            }
            Ok(_) => Poll::Ready(Ok(())),
            Err(e) => {
                self.eof.set(true);
                Poll::Ready(Err(e))
            }
        }
    }

    /// The request body has not been read to its end.
    pub fn body_left(&self) -> bool {
        self.incoming.get() != Incoming::Nothing
    }
    pub fn body_is_chunked(&self) -> bool {
        matches!(self.incoming.get(), Incoming::Chunked(_))
    }
    /// Bytes that a chunked body has announced and not sent.
    pub fn body_announced(&self) -> u64 {
        match self.incoming.get() {
            Incoming::Chunked(chunks) => chunks.announced(),
            _ => 0,
        }
    }
    /// Drops what has come of a body that nobody wants. False: its framing is broken.
    pub fn discard_ahead(&self) -> bool {
        // (a client that is gone shows when it is answered)
        let _ = self.expect_body();
        while let Some(Some(piece)) = self.buffered_piece() {
            if piece.is_err() {
                return false;
            }
        }
        true
    }
    /// The next piece of the request body. None: its end. Err: broken framing, or the client went away.
    pub async fn body_piece(&self) -> Option<Result<Bytes, ClientGone>> {
        if self.expect_body().is_err() {
            return Some(Err(ClientGone));
        }
        loop {
            if let Some(piece) = self.buffered_piece() {
                return piece;
            }
            if self.eof.get() {
                return Some(Err(ClientGone));
            }
            if std::future::poll_fn(|cx| self.poll_fill(cx)).await.is_err() {
                return Some(Err(ClientGone));
            }
        }
    }
    /// A piece out of the buffer; None: more has to be read first.
    fn buffered_piece(&self) -> Option<Option<Result<Bytes, ClientGone>>> {
        match self.incoming.get() {
            Incoming::Nothing => Some(None),
            Incoming::Length(left) => {
                let count = self.with_input(<[u8]>::len).min(usize::try_from(left).unwrap_or(usize::MAX));
                if count == 0 {
                    return None;
                }
                let piece = self.take(count);
                let left = left - piece.len() as u64;
                self.incoming.set(if left == 0 { Incoming::Nothing } else { Incoming::Length(left) });
                Some(Some(Ok(piece)))
            }
            Incoming::Chunked(mut chunks) => {
                let mut data = Vec::new();
                let (used, end) = self.with_input(|bytes| {
                    let mut used = 0;
                    loop {
                        match chunks.next(&bytes[used..]) {
                            Piece::Data { from, to } => {
                                data.extend_from_slice(&bytes[used + from..used + to]);
                                used += to;
                            }
                            Piece::More => return (bytes.len(), Some(false)),
                            Piece::End(count) => return (used + count, Some(true)),
                            Piece::Invalid => return (used, None),
                        }
                    }
                });
                self.consume(used);
                match end {
                    Some(true) => self.incoming.set(Incoming::Nothing),
                    Some(false) => self.incoming.set(Incoming::Chunked(chunks)),
                    None => {
                        self.bad_body.set(true);
                        self.eof.set(true);
                        return Some(Some(Err(ClientGone)));
                    }
                }
                match (data.is_empty(), end) {
                    (false, _) => Some(Some(Ok(Bytes::from(data)))),
                    (true, Some(true)) => Some(None),
                    (true, _) => None,
                }
            }
        }
    }

    /// Reads what comes next from the client: what was read ahead, then the socket.
    pub fn poll_raw(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let ahead = self.with_input(|bytes| {
            let count = bytes.len().min(out.len());
            out[..count].copy_from_slice(&bytes[..count]);
            count
        });
        if ahead > 0 {
            self.consume(ahead);
            return Poll::Ready(Ok(ahead));
        }
        if self.eof.get() {
            return Poll::Ready(Ok(0));
        }
        let read = ready!(self.stream.poll_read(cx, out));
        self.eof.set(matches!(read, Ok(0) | Err(_)));
        Poll::Ready(read)
    }
    /// The same, up to the end of a body of declared length.
    pub fn poll_body(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let Incoming::Length(left) = self.incoming.get() else { return Poll::Ready(Ok(0)) };
        let room = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = ready!(self.poll_raw(cx, &mut out[..room]));
        if let Ok(count) = read {
            let left = left - count as u64;
            self.incoming.set(if left == 0 { Incoming::Nothing } else { Incoming::Length(left) });
        }
        Poll::Ready(read)
    }
    /// Asks for the body if the client wants to be asked, whether or not it waits for that. An error: the client is gone.
    pub fn expect_body(&self) -> Result<(), ClientGone> {
        if self.expect.replace(false) && self.reply.get().is_none() {
            self.append(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.write_now()?;
        }
        Ok(())
    }
    /// From now on the connection is somebody else's to read and write, and ends with the request. False: output is still
    /// under way.
    pub fn give_up(&self) -> bool {
        if !matches!(self.write_now(), Ok(true)) {
            return false;
        }
        self.incoming.set(Incoming::Nothing);
        self.given_up.set(true);
        self.reply.set(Some(Reply { framing: Framing::Close, keep_alive: false }));
        self.ended.set(true);
        true
    }

    // Output.

    /// The head is final; the body follows by `push`.
    pub fn start(&self, reply: Reply, head: Vec<u8>) {
        self.reply.set(Some(reply));
        self.sent.set(0);
        let mut out = self.out.borrow_mut();
        out.waiting += head.len();
        if out.tail.is_empty() { out.tail = head } else { out.tail.extend_from_slice(&head) }
    }
    pub fn reply(&self) -> Option<Reply> {
        self.reply.get()
    }
    /// Response body; it is framed here.
    pub fn body(&self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        self.sent.set(self.sent.get() + bytes.len() as u64);
        match self.reply.get().map(|reply| reply.framing) {
            Some(Framing::Chunked) => {
                let mut size = [0; 18];
                self.append(chunk_size(bytes.len(), &mut size));
                self.push(bytes);
                self.append(b"\r\n");
            }
            Some(Framing::None) => {}
            _ => self.push(bytes),
        }
    }
    /// Part of a file as response body of a declared length: the kernel copies it.
    pub async fn file(&self, file: &std::fs::File, from: u64, to: u64) -> Result<(), ClientGone> {
        self.drained(true).await?;
        let mut at = from;
        while at < to {
            let count = usize::try_from(to - at).unwrap_or(usize::MAX).min(SENDFILE);
            let sent = self.stream.try_write_by(|socket| Ok(rustix::fs::sendfile(socket, file, Some(&mut at), count)?));
            match sent {
                // The file shrank under us: the response stays short, which ends the connection.
                Ok(0) => return Err(ClientGone),
                Ok(count) => self.sent.set(self.sent.get() + count as u64),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if !self.room().await {
                        self.gone.set(true);
                        return Err(ClientGone);
                    }
                }
                Err(_) => {
                    self.gone.set(true);
                    return Err(ClientGone);
                }
            }
        }
        Ok(())
    }
    /// Nothing follows but these trailer lines. A small response on a connection that stays goes out at the end of the turn, any
    /// other one now, as far as the kernel takes it.
    pub fn end(self: &Rc<Self>, trailers: &[u8]) {
        if !self.ended.replace(true) {
            if self.reply.get().is_some_and(|reply| reply.framing == Framing::Chunked) {
                self.append(b"0\r\n");
                self.append(trailers);
                self.append(b"\r\n");
            }
            let stays = self.reply.get().is_some_and(|reply| reply.keep_alive) && !self.pipelined.get();
            if stays && self.out.borrow().waiting < LARGE && !self.gone.get() {
                self.later.set(true);
                ngx::turn::at_end(self.clone());
            } else {
                // (a failure shows at the next look at `gone`)
                let _ = self.write_now();
            }
        }
    }
    /// Whether the response goes out at the end of the turn.
    pub fn is_later(&self) -> bool {
        self.later.get()
    }
    /// Until the response has gone out, the request is in service.
    pub fn hold(&self, request: Active) {
        self.held.set(Some(request));
    }
    /// The response came to its end, and is as long as its head says: the client knows where the next one begins.
    pub fn whole(&self) -> bool {
        let length = match self.reply.get().map(|reply| reply.framing) {
            Some(Framing::Length(length)) => length,
            _ => self.sent.get(),
        };
        self.ended.get() && length == self.sent.get()
    }
    fn push(&self, bytes: Vec<u8>) {
        if bytes.len() < LARGE {
            return self.append(&bytes);
        }
        let mut out = self.out.borrow_mut();
        out.waiting += bytes.len();
        if !out.tail.is_empty() {
            let tail = std::mem::take(&mut out.tail);
            out.queue.push_back(tail);
        }
        out.queue.push_back(bytes);
    }
    fn append(&self, bytes: &[u8]) {
        let mut out = self.out.borrow_mut();
        out.waiting += bytes.len();
        out.tail.extend_from_slice(bytes);
    }

    /// Writes what the kernel takes at once; whether that was all.
    fn write_now(&self) -> Result<bool, ClientGone> {
        let mut out = self.out.borrow_mut();
        let out = &mut *out;
        while out.waiting > 0 {
            let wrote = if out.queue.is_empty() {
                self.stream.try_write(&out.tail[out.done..])
            } else {
                let mut slices: smallvec::SmallVec<[IoSlice<'_>; 8]> = smallvec::SmallVec::new();
                for (i, piece) in out.queue.iter().take(7).enumerate() {
                    slices.push(IoSlice::new(if i == 0 { &piece[out.done..] } else { piece }));
                }
                if out.queue.len() <= 7 && !out.tail.is_empty() {
                    slices.push(IoSlice::new(&out.tail));
                }
                self.stream.try_write_vectored(&slices)
            };
            match wrote {
                Ok(count) => out.wrote(count),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(_) => {
                    self.gone.set(true);
                    *out = Out::default();
                    return Err(ClientGone);
                }
            }
        }
        Ok(true)
    }

    /// Resolves when little enough waits, or nothing for `flush`.
    pub async fn drained(&self, flush: bool) -> Result<(), ClientGone> {
        loop {
            if self.gone.get() {
                return Err(ClientGone);
            }
            if !flush && self.out.borrow().waiting <= HIGH_WATER {
                return Ok(());
            }
            if self.write_now()? {
                return Ok(());
            }
            if !self.room().await {
                self.gone.set(true);
                return Err(ClientGone);
            }
        }
    }

    /// Waits until the kernel takes more; false: it takes too long, or never will. (On the heap: it would be the largest part of an idle
    /// connection.)
    fn room(&self) -> Pin<Box<impl Future<Output = bool>>> {
        Box::pin(async {
            matches!(ngx::alarm::within(self.send_timeout.get(), self.stream.writable()).await, Some(Ok(())))
        })
    }
}

impl Out {
    /// So many bytes are in the kernel: they go off the front.
    fn wrote(&mut self, count: usize) {
        self.waiting -= count;
        self.done += count;
        while let Some(first) = self.queue.front() {
            if self.done < first.len() {
                return;
            }
            self.done -= first.len();
            self.queue.pop_front();
        }
        if self.done >= self.tail.len() {
            self.tail.clear();
            self.done = 0;
            if self.tail.capacity() > HIGH_WATER {
                self.tail = Vec::new();
            }
        }
    }
}

/// The line that begins a chunk, written from the end of `out`.
fn chunk_size(mut length: usize, out: &mut [u8; 18]) -> &[u8] {
    let mut at = out.len() - 2;
    out[at..].copy_from_slice(b"\r\n");
    loop {
        at -= 1;
        out[at] = b"0123456789abcdef"[length & 15];
        length >>= 4;
        if length == 0 {
            return &out[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// What the client has got so far.
    fn got(client: &mut std::os::unix::net::UnixStream) -> String {
        let mut bytes = [0; 4096];
        let count = client.read(&mut bytes).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    #[test]
    fn responses_go_out_when_all_are_made() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // (a second runtime on the same thread needs a task of its own)
        for _ in 0..2 {
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let pair = || {
                    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
                    ours.set_nonblocking(true).unwrap();
                    theirs.set_nonblocking(true).unwrap();
                    let stream = tokio::net::UnixStream::from_std(ours).unwrap();
                    (Rc::new(Wire::new(stream.into())), theirs)
                };
                let answer = |wire: &Rc<Wire>, keep_alive, text: &str| {
                    wire.begin(None, false, false);
                    wire.start(Reply { framing: Framing::Length(0), keep_alive }, text.into());
                    wire.end(b"");
                };
                let ((one, mut first), (two, mut second), (three, mut third)) = (pair(), pair(), pair());
                for wire in [&one, &two, &three] {
                    wire.stream.writable().await.unwrap();
                }
                answer(&one, true, "one");
                answer(&two, true, "two");
                // The last one on its connection does not wait.
                answer(&three, false, "three");
                assert_eq!(
                    (got(&mut first), got(&mut second), got(&mut third)),
                    ("".into(), "".into(), "three".into())
                );
                assert!(one.is_later() && two.is_later() && !three.is_later());
                while one.is_later() || two.is_later() {
                    tokio::task::yield_now().await;
                }
                assert_eq!((got(&mut first), got(&mut second)), ("one".into(), "two".into()));
                // Again: the task is there already.
                answer(&two, true, "2");
                assert_eq!(got(&mut second), "");
                while two.is_later() {
                    tokio::task::yield_now().await;
                }
                assert_eq!(got(&mut second), "2");
            });
        }
    }
}
