//! Between one request's handler and hyper: the response on its way out as a queue, the request body on its way in.
//!
//! The handler's job is polled by hyper as part of the response: no task per request. When hyper drops the response early
//! (the client is gone) or the body ends before the job does (`ngx.eof`), the job moves to a task of its own and finishes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use ngx::request::{ClientGone, Local};

use super::record::Tape;

pub struct Wire {
    pub tape: Rc<Tape>,
    incoming: RefCell<Option<Incoming>>,
    queue: RefCell<VecDeque<Bytes>>,
    queued: Cell<usize>,
    reply: Cell<Option<Reply>>,
    pub ended: Cell<bool>,
    pub gone: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

/// How the response body is framed; the text of the head goes over the tape.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    pub framing: Framing,
    pub keep_alive: bool,
    pub status: u16,
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

/// Output that may wait in the queue before the handler is held back.
const HIGH_WATER: usize = 64 * 1024;

impl Wire {
    pub fn new(tape: Rc<Tape>, incoming: Incoming) -> Rc<Wire> {
        Rc::new(Wire {
            tape,
            incoming: RefCell::new(Some(incoming)),
            queue: RefCell::default(),
            queued: Cell::new(0),
            reply: Cell::new(None),
            ended: Cell::new(false),
            gone: Cell::new(false),
            reader: RefCell::default(),
            writer: RefCell::default(),
        })
    }

    pub fn start(&self, reply: Reply, head: Vec<u8>) {
        *self.tape.reply.borrow_mut() = Some(head);
        if !reply.keep_alive {
            self.tape.closing.set(true);
        }
        self.reply.set(Some(reply));
    }
    pub fn push(&self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.queued.set(self.queued.get() + bytes.len());
            self.queue.borrow_mut().push_back(bytes);
            wake(&self.reader);
        }
    }
    pub fn end(&self) {
        self.ended.set(true);
        wake(&self.reader);
    }
    /// Resolves when the queue is short enough, or empty for `flush`.
    pub async fn drained(&self, flush: bool) -> Result<(), ClientGone> {
        std::future::poll_fn(|cx| {
            if self.gone.get() {
                return Poll::Ready(Err(ClientGone));
            }
            let enough = if flush { self.queued.get() == 0 } else { self.queued.get() <= HIGH_WATER };
            if enough {
                return Poll::Ready(Ok(()));
            }
            *self.writer.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
    /// The next piece of the request body. None: its end. Err: broken framing, or the client went away.
    pub async fn body_piece(&self) -> Option<Result<Bytes, ClientGone>> {
        std::future::poll_fn(|cx| {
            let mut incoming = self.incoming.borrow_mut();
            let Some(body) = incoming.as_mut() else { return Poll::Ready(None) };
            loop {
                return match Pin::new(&mut *body).poll_frame(cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => Poll::Ready(Some(Ok(data))),
                        Err(_trailers) => continue,
                    },
                    Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(ClientGone))),
                    Poll::Ready(None) => {
                        *incoming = None;
                        Poll::Ready(None)
                    }
                };
            }
        })
        .await
    }
    /// Reads what is left of the request body in the background, so that the connection can serve the next request.
    pub fn discard_rest(self: &Rc<Wire>, limit: std::time::Duration) {
        if !self.tape.body_left() {
            return;
        }
        if self.tape.closing.get() {
            // The connection's end reads what is left, once the response is out.
            self.incoming.take();
            return;
        }
        let wire = self.clone();
        tokio::task::spawn_local(async move {
            let drain = async { while let Some(Ok(_)) = wire.body_piece().await {} };
            let _ = tokio::time::timeout(limit, drain).await;
            wire.incoming.take();
        });
    }
}

fn wake(slot: &RefCell<Option<Waker>>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}

/// The handler at work, shared by the two stages of a response.
struct Job {
    job: Option<Local<'static, ()>>,
    wire: Rc<Wire>,
}

impl Job {
    fn step(&mut self, cx: &mut Context<'_>) {
        if let Some(job) = &mut self.job
            && job.as_mut().poll(cx).is_ready()
        {
            self.job = None;
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.wire.ended.get() || !self.wire.queue.borrow().is_empty() {
            self.wire.gone.set(true);
            wake(&self.wire.writer);
        }
        self.wire.tape.in_service.set(false);
        if let Some(job) = self.job.take() {
            tokio::task::spawn_local(job);
        }
    }
}

/// hyper's response future: runs the job until the head is there.
pub struct Answer(Option<Job>);

impl Answer {
    pub fn new(job: Local<'static, ()>, wire: Rc<Wire>) -> Answer {
        wire.tape.in_service.set(true);
        Answer(Some(Job { job: Some(job), wire }))
    }
}

/// The handler ended without a response: the connection is closed as it is (status 444).
#[derive(Debug)]
pub struct NoResponse;

impl std::fmt::Display for NoResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed without a response")
    }
}
impl std::error::Error for NoResponse {}

impl Future for Answer {
    type Output = Result<Response<Outgoing>, NoResponse>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(mut job) = self.0.take() else { return Poll::Ready(Err(NoResponse)) };
        job.step(cx);
        let Some(reply) = job.wire.reply.take() else {
            if job.job.is_none() {
                return Poll::Ready(Err(NoResponse));
            }
            *job.wire.reader.borrow_mut() = Some(cx.waker().clone());
            self.0 = Some(job);
            return Poll::Pending;
        };
        job.wire.tape.unflushed.set(true);
        let length = match reply.framing {
            Framing::Length(length) => Some(length),
            Framing::None => Some(0),
            _ => None,
        };
        let mut response = Response::new(Outgoing { job, length });
        // Only what decides about bodies matters: the rest of this head is replaced on its way out.
        if let Ok(status) = http::StatusCode::from_u16(reply.status)
            && matches!(reply.status, 204 | 304)
        {
            *response.status_mut() = status;
        }
        let headers = response.headers_mut();
        match reply.framing {
            Framing::Length(length) => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from(length))),
            Framing::Chunked => drop(headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))),
            Framing::None | Framing::Close => {}
        }
        if !reply.keep_alive {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response))
    }
}

/// The response body as hyper pulls it.
pub struct Outgoing {
    job: Job,
    length: Option<u64>,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = NoResponse;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, NoResponse>>> {
        loop {
            let wire = self.job.wire.clone();
            let piece = wire.queue.borrow_mut().pop_front();
            if let Some(bytes) = piece {
                wire.queued.set(wire.queued.get() - bytes.len());
                wire.tape.unflushed.set(true);
                wake(&wire.writer);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if wire.ended.get() {
                wire.tape.unflushed.set(true);
                return Poll::Ready(None);
            }
            if self.job.job.is_none() {
                // Broken off: what was sent so far still goes out, then the connection is cut.
                if wire.tape.unflushed.get() {
                    *wire.tape.cutting.borrow_mut() = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                return Poll::Ready(Some(Err(NoResponse)));
            }
            self.job.step(cx);
            if wire.queue.borrow().is_empty() && !wire.ended.get() && self.job.job.is_some() {
                *wire.reader.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
    }
    fn is_end_stream(&self) -> bool {
        self.length == Some(0) || (self.job.wire.ended.get() && self.job.wire.queue.borrow().is_empty())
    }
    fn size_hint(&self) -> SizeHint {
        self.length.map(SizeHint::with_exact).unwrap_or_default()
    }
}
