//! One client's connection: hyper between our recorder and our handlers, its timeouts, and how it ends. Nothing outside of
//! this folder knows hyper.

mod chunks;
pub mod head;
mod record;
pub mod stream;
pub mod wire;

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use ngx::request::Connection;
use tokio::time::Instant;

pub use head::Head;
use head::Limits;
use record::Recorder;
use stream::Stream;
use wire::{Answer, Wire};

use crate::http;
use crate::worker::Worker;

/// Serves a connection to its end. `listen` is its index among the configuration's listening addresses.
pub async fn serve(worker: Rc<Worker>, stream: Stream, client: Rc<Connection>, listen: usize) {
    let settings = worker.default_settings(listen);
    let (buffers, size) = settings.large_client_header_buffers.unwrap_or((4, 8192));
    let limits = Limits {
        buffers: usize::try_from(buffers).unwrap_or(4),
        size: usize::try_from(size).unwrap_or(8192),
        underscores: settings.underscores_in_headers.unwrap_or(false),
        ignore_invalid: settings.ignore_invalid_headers.unwrap_or(true),
    };
    let header_timeout = Duration::from_millis(settings.client_header_timeout.unwrap_or(60_000));
    let keepalive = Duration::from_millis(settings.keepalive_timeout.unwrap_or(75_000));
    let stream = Rc::new(stream);
    let recorder = Recorder::new(stream.clone(), limits);
    let tape = recorder.tape.clone();
    let service = {
        let (worker, tape, client) = (worker.clone(), tape.clone(), client.clone());
        service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let wire = Wire::new(tape.clone(), request.into_body());
            // hyper asks only after the recorder gave it a head.
            let job: ngx::request::Local<'static, ()> = match tape.take_head() {
                Some(head) => {
                    client.requests.set(client.requests.get() + 1);
                    Box::pin(http::serve(worker.clone(), wire.clone(), client.clone(), listen, head))
                }
                None => Box::pin(std::future::ready(())),
            };
            Answer::new(job, wire)
        })
    };
    // On the heap: the task of an idle connection should not keep hyper's size twice.
    let mut conn = Box::pin(http1::Builder::new().half_close(true).serve_connection(recorder, service));
    let mut alarm = pin!(tokio::time::sleep(header_timeout));
    let mut quit = pin!(worker.quit.notified());
    let timed_out = std::future::poll_fn(|cx| {
        if let Poll::Ready(end) = conn.as_mut().poll(cx) {
            // A broken connection is the client's affair.
            let _ = end;
            return Poll::Ready(false);
        }
        let quitting = worker.quitting.get() || quit.as_mut().poll(cx).is_ready();
        if quitting && tape.idle() && !tape.head_begun.get() {
            return Poll::Ready(false);
        }
        // A lazy deadline: nothing is reset per request; when it fires, see what the connection is waiting for.
        while alarm.as_mut().poll(cx).is_ready() {
            let limit = match tape.head_begun.get() || tape.served.get() == 0 {
                true => header_timeout,
                false => keepalive,
            };
            let deadline = tape.since.get() + limit;
            let waiting = tape.idle();
            if waiting && deadline <= Instant::now() {
                return Poll::Ready(true);
            }
            let next = if waiting { deadline } else { Instant::now() + limit.min(header_timeout) };
            alarm.as_mut().reset(next);
        }
        Poll::Pending
    })
    .await;
    drop(conn);
    if tape.eof.get() && tape.served.get() > 0 && tape.idle() && !tape.head_begun.get() {
        worker.say_closed(&client, listen);
    }
    if timed_out {
        return;
    }
    if let Some(bad) = tape.bad.take() {
        let answer = http::refuse(&worker, &client, listen, &bad);
        let write = async {
            let mut rest = &answer[..];
            while !rest.is_empty() {
                let wrote = std::future::poll_fn(|cx| stream.poll_write(cx, &[std::io::IoSlice::new(rest)])).await;
                let Ok(count) = wrote else { return };
                rest = &rest[count..];
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(60), write).await;
        stream.shutdown_write();
        stream.linger(Duration::from_secs(5)).await;
    } else if tape.closing.get() && tape.body_left() && !tape.eof.get() {
        stream.shutdown_write();
        stream.linger(Duration::from_secs(5)).await;
    }
}
