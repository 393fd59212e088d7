//! One client's HTTP/1 connection: heads in, requests served one after the other, its timeouts, and how it ends.
//!
//! The handler runs inside the connection's own task. A client that goes away does not end it: writes fail, and it is told; as
//! in nginx, the request goes on unless lua_check_client_abort says otherwise.

mod chunks;
pub mod head;
pub mod lent;
pub mod line;
pub mod proxy;
pub mod wire;

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ngx::alarm::{self, Alarm};
use ngx::request::Connection;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

pub use head::Head;
use head::{Bad, Limits};
use ngx::stream::Stream;
use wire::Wire;

use crate::http;
use crate::worker::Worker;

/// What came instead of, or as, the next request.
enum Next {
    Head(Box<Head>),
    Refused(Bad),
    /// The client closed, or the connection broke.
    Closed,
    /// It was idle for too long, or its worker quits.
    Over,
}

struct Waiting {
    limits: Limits,
    header_timeout: Duration,
    busy: std::sync::Arc<crate::worker::Busy>,
    served: u64,
}

/// A worker that quits leaves an idle connection open that long: a request that is on its way already is answered, and told that
/// it was the last.
pub const GRACE: Duration = Duration::from_millis(200);

/// Longer than this nobody waits for a client to read its last response or to finish its body.
const LINGER: Duration = Duration::from_secs(5);
const DISCARD: Duration = Duration::from_secs(30);

/// Serves a connection to its end. `listen` is its index among the configuration's listening addresses. An idle connection is little more
/// than this future: what is seldom awaited is on the heap while it is.
pub async fn serve(worker: Rc<Worker>, stream: Stream, client: Rc<Connection>, listen: usize) {
    let settings = worker.default_settings(listen);
    let (buffers, size) = settings.large_client_header_buffers.unwrap_or((4, 8192));
    let mut waiting = Waiting {
        limits: Limits {
            buffers: usize::try_from(buffers).unwrap_or(4),
            size: usize::try_from(size).unwrap_or(8192),
            underscores: settings.underscores_in_headers.unwrap_or(false),
            ignore_invalid: settings.ignore_invalid_headers.unwrap_or(true),
        },
        header_timeout: Duration::from_millis(settings.client_header_timeout.unwrap_or(60_000)),
        busy: worker.busy.clone(),
        served: 0,
    };
    let wire = Rc::new(Wire::new(stream));
    wire.send_timeout(Duration::from_millis(settings.send_timeout.unwrap_or(60_000)));
    let mut client = client;
    if worker.http.listens.get(listen).is_some_and(|listen| listen.proxy_protocol) {
        let header = Box::pin(alarm::within(waiting.header_timeout, proxied(&wire))).await;
        match header.flatten() {
            Some(Ok(header)) => {
                if let Some(client) = Rc::get_mut(&mut client) {
                    client.proxy = Some(Rc::new(header));
                }
            }
            Some(Err(reason)) => {
                worker.say(&client, listen, ngx::log::Level::Error, &reason);
                return;
            }
            None => return,
        }
    }
    let mut alarm = alarm::sleep(waiting.header_timeout);
    let mut quit = pin!(worker.quit.notified());
    loop {
        let head = match next_head(&worker, &wire, &waiting, &mut alarm, quit.as_mut()).await {
            Next::Head(head) => head,
            Next::Refused(bad) => {
                let answer = Box::pin(http::refuse(&worker, &client, listen, &bad)).await;
                if answer.is_empty() {
                    return;
                }
                wire.begin(None, false, false);
                wire.start(wire::Reply { framing: wire::Framing::Close, keep_alive: false }, answer);
                if wire.drained(true).await.is_ok() {
                    part(&wire).await;
                }
                return;
            }
            Next::Closed => {
                if waiting.served > 0 && wire.with_input(<[u8]>::is_empty) {
                    worker.say_closed(&client, listen);
                }
                return;
            }
            Next::Over => return,
        };
        waiting.served += 1;
        client.requests.set(client.requests.get() + 1);
        wire.begin(head.content_length, head.chunked, head.expect);
        let active = http::Active::new(&worker);
        // On the heap: the task of an idle connection should not keep a request's size.
        let line = head.request_line.clone();
        let place = Box::new_uninit();
        let job = Box::write(place, http::serve(worker.clone(), wire.clone(), client.clone(), listen, head));
        let job = Box::into_pin(job);
        let whole = Caught(job).await;
        if !whole {
            // A bug of ours costs this request only.
            let bad = Bad::panicked(line);
            let answer = Box::pin(http::refuse(&worker, &client, listen, &bad)).await;
            if wire.reply().is_none() {
                wire.start(wire::Reply { framing: wire::Framing::Close, keep_alive: false }, answer);
                wire.end(b"");
            }
        }
        let again = after(&wire).await && whole;
        match wire.is_later() {
            true => wire.hold(active),
            false => drop(active),
        }
        if !again {
            return;
        }
        // (whoever has been idle for longest is asked first to make room)
        if worker.places.are_scarce() {
            quit.set(worker.quit.notified());
        }
    }
}

/// The PROXY protocol header in front of everything. None: the client went away.
async fn proxied(wire: &Wire) -> Option<Result<ngx::request::Proxied, String>> {
    loop {
        match wire.with_input(proxy::parse) {
            Ok(Some((used, header))) => {
                wire.consume(used);
                return Some(Ok(header));
            }
            Ok(None) => {}
            Err(reason) => return Some(Err(reason)),
        }
        if wire.eof.get() || std::future::poll_fn(|cx| wire.poll_fill(cx)).await.is_err() {
            return None;
        }
    }
}

/// The handler is through: flushes, reads what is left of the body. Whether the connection may serve another request.
async fn after(wire: &Wire) -> bool {
    let Some(reply) = wire.reply() else {
        // No response at all (444): the connection is cut as it is.
        return false;
    };
    if wire.given_up.get() {
        if !wire.eof.get() {
            part(wire).await;
        }
        return false;
    }
    let whole = wire.whole();
    if !wire.is_later() && wire.drained(true).await.is_err() || !whole {
        return false;
    }
    if reply.keep_alive && reply.framing != wire::Framing::Close {
        let drain = async { while let Some(Ok(_)) = wire.body_piece().await {} };
        let drained = !wire.body_left() || Box::pin(alarm::within(DISCARD, drain)).await.is_some();
        return drained && !wire.body_left() && !wire.gone.get();
    }
    // (a body of bad framing counts as ended, but its bytes may still come)
    let unread = wire.body_left() && (!wire.eof.get() || wire.bad_body.get());
    if unread || !wire.with_input(<[u8]>::is_empty) {
        // Closing before the client has sent all it will would make the kernel reset the connection, and the response be lost.
        part(wire).await;
    }
    false
}

/// Nothing more is written; what the client still sends is read and forgotten. (On the heap: see `serve`.)
fn part(wire: &Wire) -> Pin<Box<impl Future<Output = ()>>> {
    wire.stream.shutdown_write();
    Box::pin(wire.stream.linger(LINGER))
}

async fn next_head(
    worker: &Worker,
    wire: &Wire,
    waiting: &Waiting,
    alarm: &mut Alarm,
    mut quit: Pin<&mut Notified<'_>>,
) -> Next {
    let mut searched = 0;
    // (pipelined requests are there already)
    wire.pipelined.set(!wire.with_input(<[u8]>::is_empty));
    if wire.pipelined.get()
        && let Some(next) = buffered_head(wire, &waiting.limits, &mut searched)
    {
        return next;
    }
    let mut since = Instant::from_std(ngx::now::instant());
    let mut begun = !wire.with_input(<[u8]>::is_empty);
    let mut reading = begun.then(|| Reading::new(&waiting.busy));
    // (the alarm is not touched per request unless it would be late)
    let limit = |begun: bool| if begun || waiting.served == 0 { waiting.header_timeout } else { wire.keepalive.get() };
    if since + limit(begun) < alarm.deadline() {
        alarm.reset(since + limit(begun));
    }
    let mut leaving = None;
    loop {
        let woken = std::future::poll_fn(|cx| {
            if let Poll::Ready(read) = wire.poll_fill(cx) {
                return Poll::Ready(if read.is_err() { Some(Next::Closed) } else { None });
            }
            wire.shrink();
            if leaving.is_none() && (worker.quitting.get() || quit.as_mut().poll(cx).is_ready()) {
                // (by the clock: a turn that has taken long leaves the client no less time)
                let last = Instant::now() + GRACE;
                leaving = Some(last);
                if !begun && last < alarm.deadline() {
                    alarm.reset(last);
                }
            }
            // A lazy deadline: nothing is reset per request; when it fires, see what the connection is waiting for.
            while alarm.needs_poll() && Pin::new(&mut *alarm).poll(cx).is_ready() {
                let deadline = since + limit(begun);
                let deadline = leaving.filter(|_| !begun).map_or(deadline, |last| last.min(deadline));
                if deadline <= Instant::from_std(ngx::now::instant()) {
                    let late = || Next::Refused(wire.with_input(Bad::timed_out));
                    return Poll::Ready(Some(if begun { late() } else { Next::Over }));
                }
                alarm.reset(deadline);
            }
            Poll::Pending
        })
        .await;
        if let Some(next) = woken.or_else(|| buffered_head(wire, &waiting.limits, &mut searched)) {
            return next;
        }
        if wire.eof.get() {
            return Next::Closed;
        }
        if !begun && !wire.with_input(<[u8]>::is_empty) {
            begun = true;
            reading.get_or_insert_with(|| Reading::new(&waiting.busy));
            since = Instant::from_std(ngx::now::instant());
            if since + limit(true) < alarm.deadline() {
                alarm.reset(since + limit(true));
            }
        }
    }
}

/// A connection with half a request head, as stub_status counts it.
struct Reading(std::sync::Arc<crate::worker::Busy>);

impl Reading {
    fn new(busy: &std::sync::Arc<crate::worker::Busy>) -> Reading {
        busy.reading.add(1);
        Reading(busy.clone())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.reading.sub(1);
    }
}

/// A whole head in the input, parsed or refused. None: more has to come.
fn buffered_head(wire: &Wire, limits: &Limits, searched: &mut usize) -> Option<Next> {
    if *searched == 0 {
        let blank = wire.with_input(head::leading_blank);
        wire.consume(blank);
    }
    let found = wire.with_input(|bytes| match head_end(bytes, *searched) {
        Some(end) => Ok(Some(end)),
        None => {
            let before = std::mem::replace(searched, bytes.len());
            head::unfinished(bytes, before, limits).map_or(Ok(None), Err)
        }
    });
    match found {
        Err(bad) => Some(Next::Refused(bad)),
        Ok(None) => None,
        Ok(Some(end)) => Some(match head::parse(wire.take(end), limits) {
            Ok(head) => Next::Head(Box::new(head)),
            Err(bad) => Next::Refused(bad),
        }),
    }
}

fn head_end(bytes: &[u8], searched: usize) -> Option<usize> {
    if let Some(end) = head::end(bytes, searched) {
        return Some(end);
    }
    // HTTP/0.9 has no version and no headers: its line is the whole request.
    let line_end = memchr::memchr(b'\n', bytes)?;
    line::is_bare(&bytes[..line_end]).then_some(line_end + 1)
}

/// Polls a future and tells whether it came to its end: a panic in it is caught.
struct Caught<F>(Pin<Box<F>>);

impl<F: Future<Output = ()>> Future for Caught<F> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<bool> {
        // What it held is dropped with it and never looked at again.
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(polled) => polled.map(|()| true),
            Err(_) => Poll::Ready(false),
        }
    }
}
