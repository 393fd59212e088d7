//! Subrequests (`ngx.location.capture`): the phases run for a request without a connection, whose response is kept.

use std::cell::RefCell;
use std::rc::Rc;

use ngx::bytes::Bytes;
use ngx::headers::Headers;
use ngx::phase::Phase;
use ngx::request::{Body, Local, Request, SubrequestOptions, SubrequestResult};

use super::live::Live;
use super::phases;
use crate::conf::value::Value;

/// A response that is kept instead of sent.
#[derive(Default)]
pub struct Captured {
    pub body: RefCell<Vec<u8>>,
    /// Errors come with their page.
    pub error_pages: bool,
}

/// Headers of the parent that say something about its body.
const BODY_HEADERS: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];

pub fn run(parent_live: Rc<Live>, parent: &Request, options: SubrequestOptions) -> Local<'static, SubrequestResult> {
    let future = evaluate(parent_live, parent, options, Vec::new());
    Box::pin(async move { future.await.0 })
}

/// As `run`; gives back also what these values are at the subrequest's end.
pub fn evaluate(
    parent_live: Rc<Live>,
    parent: &Request,
    options: SubrequestOptions,
    values: Vec<Value>,
) -> Local<'static, (SubrequestResult, Vec<Vec<u8>>)> {
    let forwarded = options.always_forward_body || matches!(options.method, "POST" | "PUT");
    let body = match options.body {
        Some(bytes) => Body::Memory(bytes),
        _ if options.head_only => Body::Memory(Bytes::new()),
        None if forwarded => parent.body.clone(),
        None => Body::Memory(Bytes::new()),
    };
    let length = match &body {
        Body::Memory(bytes) => bytes.len() as u64,
        Body::File(file) => std::fs::metadata(&file.path).map_or(0, |file| file.len()),
        Body::Unread | Body::Discarded => 0,
    };
    let mut headers = Headers::with_capacity(parent.headers.len() + 1);
    for (name, value) in parent.headers.iter() {
        if !BODY_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            headers.add(name.clone(), value.clone());
        }
    }
    if (length > 0 || forwarded) && !options.head_only && !(options.verbatim && length == 0) {
        headers.add("Content-Length", length.to_string());
    }
    let mut live = Live::new(
        parent_live.worker.clone(),
        None,
        parent_live.listen,
        parent_live.server,
        parent_live.id,
        Some(length).filter(|length| *length > 0),
        length > 0,
    );
    live.capture = Some(Captured { error_pages: options.error_pages, ..Captured::default() });
    *live.host.borrow_mut() = parent_live.host.borrow().clone();
    if options.share_all_vars || options.copy_all_vars {
        *live.slots.borrow_mut() = parent_live.slots.borrow().clone();
    }
    let live = Rc::new(live);
    live.introduce();
    live.header_only.set(options.head_only);
    let mut request = super::blank(live.clone(), parent.connection.clone());
    request.method = match options.verbatim || options.head_only {
        true => parent.method.clone(),
        false => Bytes::from_static(options.method.as_bytes()),
    };
    request.target = parent.target.clone();
    request.request_line = parent.request_line.clone();
    request.raw_head = parent.raw_head.clone();
    request.version = parent.version;
    request.start_ms = parent.start_ms;
    request.headers = headers;
    request.uri = options.uri;
    request.args = options.args;
    request.body = body;
    request.internal = true;
    request.set_parent(parent);
    request.phase = Phase::ServerRewrite;
    for (name, value) in options.variables {
        // (a name that does not exist, or cannot be set, was refused before)
        let _ = ngx::request::Exchange::set_variable(&*live, &mut request, &name, Some(value));
    }
    if let Some(ctx) = options.ctx {
        request.set_ctx(ctx);
    }
    let share = options.share_all_vars;
    Box::pin(async move {
        phases::run(&live, &mut request).await;
        if live.settings().log_subrequest == Some(true) {
            if let Some(code) = &live.settings().lua_log {
                live.lua(&mut request, Phase::Log, code).await;
            }
            super::write_access_log(&live, &request);
        }
        let values = values.iter().map(|value| live.eval(&request, value)).collect();
        if share {
            *parent_live.slots.borrow_mut() = live.slots.take();
        }
        let body = live.capture.as_ref().map(|captured| captured.body.take()).unwrap_or_default();
        let status = match request.response.status {
            // (dropped without an answer)
            0 if !live.complete.get() => 500,
            0 => 200,
            status => status,
        };
        let truncated = !live.complete.get();
        let headers = std::mem::take(&mut request.response.headers);
        (SubrequestResult { status, headers, body, truncated }, values)
    })
}

/// Takes what is pending; called where a client's response would be sent.
pub fn keep(captured: &Captured, request: &mut Request) {
    captured.body.borrow_mut().append(&mut request.output.pending);
}
