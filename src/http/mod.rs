//! One request from its head to its line in the access log.

mod echo;
pub mod files;
pub mod filter;
pub mod live;
mod mime;
pub mod modules;
pub mod open_files;
pub mod phases;
pub mod response;
mod rewrite;
mod route;
pub mod set_misc;
pub mod status;
mod subrequest;
pub mod symlinks;
pub mod uri;
pub mod vars;

use std::rc::Rc;

use ngx::bytes::Bytes;
use ngx::headers::Headers;
use ngx::log::Level;
use ngx::phase::Phase;
use ngx::request::{Body, Connection, Output, Request, ResponseHead};
use ngx::trace::{self, Word};

use crate::conf::regex::Exceeded;
use crate::conf::value::Value;
use crate::conn::Head;
use crate::conn::head::Bad;
use crate::conn::wire::Wire;
use crate::log::access::Target;
use crate::time;
use crate::worker::Worker;
use live::Live;

/// Handles one request; the response goes out over the wire.
pub fn serve(
    worker: Rc<Worker>,
    wire: Rc<Wire>,
    client: Rc<Connection>,
    listen: usize,
    head: Box<Head>,
) -> impl Future<Output = ()> {
    let line = trace::note(|| String::from_utf8_lossy(&head.request_line).into_owned());
    trace::over(Word::Request, line, handle(worker, wire, client, listen, head))
}

async fn handle(worker: Rc<Worker>, wire: Rc<Wire>, client: Rc<Connection>, listen: usize, head: Box<Head>) {
    let (live, mut request, start) = begin(worker, wire, client, listen, *head);
    match start {
        Start::Phases => phases::run(&live, &mut request).await,
        Start::Exceeded(exceeded) => {
            live.say(&request, Level::Alert, &exceeded.0);
            phases::error_response(&live, &mut request, 500).await;
        }
        Start::BadUri => {
            let headers = std::mem::take(&mut request.headers);
            live.say(&request, Level::Info, "client sent invalid request while reading client request line");
            request.headers = headers;
            phases::error_response(&live, &mut request, 400).await;
        }
    }
    if let Some(code) = &live.settings().lua_log {
        live.lua(&mut request, Phase::Log, code).await;
    }
    write_access_log(&live, &request);
}

/// What a request begins with.
enum Start {
    Phases,
    /// A server's name was too hard to match.
    Exceeded(Exceeded),
    BadUri,
}

/// Makes a request of its head. (Not part of `handle`, whose future would keep room for all that is used here.)
#[inline(never)]
fn begin(
    worker: Rc<Worker>,
    wire: Rc<Wire>,
    client: Rc<Connection>,
    listen: usize,
    head: Head,
) -> (Rc<Live>, Box<Request>, Start) {
    let target = uri::split(&head.target);
    let host = match (target.host, head.headers.first(b"host")) {
        (Some(host), _) => route::host_name(host),
        (None, Some(host)) => route::host_name(host),
        (None, None) => Vec::new(),
    };
    let address = &worker.http.listens[listen];
    let (server, mut start) = match route::server(address, &host) {
        Ok(server) => (server, Start::Phases),
        Err(exceeded) => (address.default, Start::Exceeded(exceeded)),
    };
    let has_body = head.chunked || head.content_length.is_some_and(|length| length > 0);
    let id = worker.next_id();
    let live = Rc::new(Live::new(worker, Some(wire), listen, server, id, head.content_length, has_body));
    live.introduce();
    *live.host.borrow_mut() = host;
    let settings = live.settings();
    let alive = head.keep_alive && settings.keepalive_timeout.unwrap_or(75_000) > 0 && !live.worker.quitting.get();
    live.keep_alive.set(alive);
    let uri = uri::normalise(target.path, settings.merge_slashes.unwrap_or(true));
    if uri.is_none() && matches!(start, Start::Phases) {
        start = Start::BadUri;
    }
    let (uri, args) = (uri.unwrap_or_else(|| target.path.to_vec()), target.args.map(<[u8]>::to_vec));
    // (room first: the request is made where it stays)
    let place = Box::new_uninit();
    let mut request = Box::write(
        place,
        Request {
            method: head.method,
            target: head.target,
            version: head.version,
            request_line: head.request_line,
            raw_head: head.raw,
            headers: head.headers,
            uri,
            args,
            phase: Phase::ServerRewrite,
            ..blank(live.clone(), client)
        },
    );
    keep_server_captures(&live, &mut request);
    (live, request, start)
}

/// A request in service, until its response is out: a worker that quits waits for it.
pub struct Active(Rc<Worker>);

impl Active {
    pub fn new(worker: &Rc<Worker>) -> Active {
        worker.active.set(worker.active.get() + 1);
        worker.busy.writing.add(1);
        Active(worker.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        self.0.busy.writing.sub(1);
        // (nobody waits before that)
        if self.0.quitting.get() {
            self.0.idle.notify_waiters();
        }
    }
}

/// What the groups of a `server_name ~regex` took part in.
fn keep_server_captures(live: &Live, request: &mut Request) {
    use crate::conf::tree::ServerName;
    for name in &live.server().names {
        let ServerName::Regex(regex) = name else { continue };
        let captures = regex.captures(&live.host.borrow());
        if let Ok(Some(captures)) = captures {
            return rewrite::keep_captures(live, request, regex, captures);
        }
    }
}

fn write_named(live: &Live, request: &Request, name: &Value, line: &[u8]) {
    let path = live.worker.main.prefix.join(files::path_of(&live.eval(request, name)));
    let written = match &live.settings().open_log_files {
        Some(Some(open)) => open.write(&path, line),
        _ => crate::log::buffer::write_once(&path, line),
    };
    if let Err(error) = written {
        let words = crate::conf::os_error(&error);
        live.say(request, Level::Crit, &format!("open() \"{}\" failed {words}", path.display()));
    }
}

/// A request with nothing in it.
fn blank(live: Rc<Live>, client: Rc<Connection>) -> Request {
    Request {
        method: Bytes::new(),
        target: Bytes::new(),
        version: 11,
        request_line: Bytes::new(),
        raw_head: Bytes::new(),
        headers: Headers::new(),
        uri: Vec::new(),
        args: None,
        body: Body::Unread,
        phase: Phase::Content,
        response: ResponseHead::default(),
        output: Output::default(),
        finish: None,
        internal: false,
        is_subrequest: false,
        start_ms: time::now_ms(),
        captures: Vec::new(),
        log: live.log(client.number),
        connection: client,
        exchange: live,
        lua: ngx::state::LuaState::default(),
    }
}

/// The whole answer to a head that was refused, logged; empty where nothing is answered.
pub async fn refuse(worker: &Rc<Worker>, client: &Rc<Connection>, listen: usize, bad: &Bad) -> Vec<u8> {
    let http = &worker.http;
    let server = http.listens[listen].default;
    let has_page = worker
        .default_settings(listen)
        .error_page
        .iter()
        .flat_map(|pages| pages.iter())
        .any(|p| p.status == bad.status);
    // (not after a bug of ours: one is enough)
    let has_page = has_page && bad.status != 500;
    let mut live = Live::new(worker.clone(), None, listen, server, worker.next_id(), None, false);
    live.capture = has_page.then(|| subrequest::Captured { error_pages: true, ..Default::default() });
    let live = Rc::new(live);
    let mut request = blank(live.clone(), client.clone());
    request.request_line = bad.line.clone();
    request.response.status = bad.status;
    request.headers = bad.headers.clone();
    live.seldom().refused_bytes.set(bad.length as u64);
    live.say(&request, bad.level, &bad.reason);
    if bad.status == 408 {
        write_access_log(&live, &request);
        return Vec::new();
    }
    let page = match &live.capture {
        Some(captured) => {
            request.response.status = 0;
            phases::run_error(&live, &mut request, bad.status).await;
            captured.body.take()
        }
        None => {
            request.response.headers.add("Content-Type", "text/html");
            status::page(bad.status, live.server_words(), false).unwrap_or_default()
        }
    };
    live.keep_alive.set(false);
    request.response.headers.set("Content-Length", page.len().to_string());
    let mut answer = if bad.bare {
        Vec::new()
    } else {
        response::render(&live, &request, &response::Placed::of(&request.response.headers), false)
    };
    live.head_bytes.set(answer.len() as u64);
    request.output.sent = page.len() as u64;
    answer.extend_from_slice(&page);
    write_access_log(&live, &request);
    answer
}

pub fn write_access_log(live: &Live, request: &Request) {
    let Some(logs) = &live.settings().access_log else {
        return;
    };
    for log in logs.iter() {
        if let Some(condition) = &log.condition
            && matches!(live.eval(request, condition).as_slice(), b"" | b"0")
        {
            continue;
        }
        let line = log.format.line(|piece| live.piece(request, piece));
        match &log.target {
            Target::File(file) => file.write(&line),
            Target::Buffered(buffer) => buffer.write(&line),
            Target::Named(name) => write_named(live, request, name, &line),
        }
    }
}
