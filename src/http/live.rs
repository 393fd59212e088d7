//! What lies behind one request on the server's side: its place in the configuration, its variables, its connection. The ngx
//! crate sees it as an `Exchange`.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use ngx::bytes::Bytes;
use ngx::headers::Headers;
use ngx::log::{Level, Log};
use ngx::phase::Phase;
use ngx::request::{
    Body, BodyError, ClientGone, Downstream, Exchange, Local, LuaConf, NoVariable, Request, SubrequestOptions,
    SubrequestResult, TempFile,
};
use ngx::trace::{self, Word};

use super::phases::Next;
use super::subrequest::{self, Captured};
use super::{filter, response, vars};
use crate::conf::regex::{Captures, Exceeded};
use crate::conf::settings::Settings;
use crate::conf::tree::{Http, Location, LocationId, Server, VarKind};
use crate::conn::lent;
use crate::conn::wire::Wire;
use crate::worker::Worker;

pub struct Live {
    pub worker: Rc<Worker>,
    /// None: there is no client (a refused head).
    pub wire: Option<Rc<Wire>>,
    /// A subrequest's response is kept here.
    pub capture: Option<Captured>,
    /// The index of its server, and the location it is in.
    pub server: usize,
    at: Cell<LocationId>,
    pub listen: usize,
    pub slots: RefCell<Vec<Option<Vec<u8>>>>,
    /// The request's host in lower case, without the port.
    pub host: RefCell<Vec<u8>>,
    pub id: u64,
    pub keep_alive: Cell<bool>,
    pub chunked: Cell<bool>,
    pub head_bytes: Cell<u64>,
    pub body_bytes: Cell<u64>,
    pub content_length: Option<u64>,
    pub has_body: bool,
    pub complete: Cell<bool>,
    /// The status that the access log shows where it is not the response's (499).
    pub logged_status: Cell<u16>,
    /// An `error_page` took over already: the next error gets the built-in page.
    pub error_answered: Cell<bool>,
    /// The Location header is the server's own: a path in it becomes a URL.
    pub own_location: Cell<bool>,
    /// `$limit_rate` as it was set for this request; 0: not.
    pub limit_rate: Cell<u64>,
    /// The client went away before its body was whole.
    pub body_cut_short: Cell<bool>,
    /// The status of an answer by `error_page`; 0: the answer's own.
    pub err_status: Cell<u16>,
    /// The response has no body on the wire, whatever is printed.
    pub header_only: Cell<bool>,
    /// The stages that the response's bytes go through.
    pub chain: RefCell<Vec<filter::Body>>,
    /// A filter failed, or took the response's end away: nothing more goes out.
    pub broken: Cell<bool>,
    /// The handler can send parts of its response, and these are what is wanted of it.
    pub allow_ranges: Cell<bool>,
    /// `Vary: Accept-Encoding` is due.
    pub vary: Cell<bool>,
    me: OnceCell<Weak<Live>>,
    seldom: OnceCell<Box<Seldom>>,
}

/// What few requests have, made with the first of it.
#[derive(Default)]
pub struct Seldom {
    pub captures: RefCell<Captures>,
    pub map_depth: Cell<u32>,
    /// How long a refused head was.
    pub refused_bytes: Cell<u64>,
    pub ranges: RefCell<Option<filter::range::Ranges>>,
    /// Lines behind the last chunk.
    pub expect_trailers: Cell<bool>,
    pub trailers: RefCell<Headers>,
    /// How limit_req and limit_conn decided, and what is counted of it until the request ends.
    pub limit_req_status: Cell<Option<&'static str>>,
    pub limit_conn_status: Cell<Option<&'static str>>,
    pub counted: RefCell<Vec<super::modules::limit_conn::Counted>>,
    /// The address and port the connection really comes from, where realip found another one.
    pub realip: RefCell<Option<(Vec<u8>, u16)>>,
    /// Values of variables that are computed once.
    pub memo: RefCell<Vec<Option<Vec<u8>>>>,
    /// A header filter refused the response, and how often that went.
    pub refusing: Cell<bool>,
    pub refusals: Cell<u32>,
    /// Bytes before and after compression.
    pub gzip_ratio: Cell<Option<(u64, u64)>>,
    /// The identity that userid gives with the response.
    pub user_id: Cell<Option<[u8; 16]>>,
}

impl Live {
    pub fn new(
        worker: Rc<Worker>,
        wire: Option<Rc<Wire>>,
        listen: usize,
        server: usize,
        id: u64,
        content_length: Option<u64>,
        has_body: bool,
    ) -> Live {
        Live {
            at: Cell::new(worker.http.servers[server].root),
            worker,
            wire,
            capture: None,
            server,
            listen,
            slots: RefCell::default(),
            host: RefCell::default(),
            id,
            keep_alive: Cell::new(false),
            chunked: Cell::new(false),
            head_bytes: Cell::new(0),
            body_bytes: Cell::new(0),
            content_length,
            has_body,
            complete: Cell::new(false),
            logged_status: Cell::new(0),
            error_answered: Cell::new(false),
            own_location: Cell::new(false),
            limit_rate: Cell::new(0),
            body_cut_short: Cell::new(false),
            err_status: Cell::new(0),
            header_only: Cell::new(false),
            chain: RefCell::default(),
            broken: Cell::new(false),
            allow_ranges: Cell::new(false),
            vary: Cell::new(false),
            me: OnceCell::new(),
            seldom: OnceCell::new(),
        }
    }

    /// From now on it can hand itself to what outlives the caller.
    pub fn introduce(self: &Rc<Self>) {
        let _ = self.me.set(Rc::downgrade(self));
    }
    pub fn me(&self) -> Option<Rc<Live>> {
        self.me.get()?.upgrade()
    }

    /// To change what few requests have.
    pub fn seldom(&self) -> &Seldom {
        self.seldom.get_or_init(Box::default)
    }
    /// To look at it, if there is any.
    pub fn if_seldom(&self) -> Option<&Seldom> {
        self.seldom.get().map(|seldom| &**seldom)
    }

    pub fn http(&self) -> &Http {
        &self.worker.http
    }
    pub fn server(&self) -> &Server {
        &self.http().servers[self.server]
    }
    pub fn location(&self) -> &Location {
        self.http().location(self.at.get())
    }
    pub fn settings(&self) -> &Settings {
        &self.location().settings
    }
    /// The request is at another location from now on, and logs as that one says.
    pub fn enter(&self, request: &mut Request, location: LocationId) {
        let before = &self.settings().error_log;
        self.at.set(location);
        let same_log = match (before, &self.settings().error_log) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if !same_log {
            request.log = self.log(request.connection.number);
        }
    }
    pub fn log(&self, connection: u64) -> Rc<dyn Log> {
        let (worker, location) = (self.worker.clone(), self.at.get());
        Rc::new(crate::log::ForRequest::new(worker, location, self.server, self.listen, connection))
    }
    /// A pattern of the configuration was too much for this request.
    pub fn exceeded(&self, request: &Request, exceeded: &Exceeded) -> Next {
        self.say(request, Level::Alert, &exceeded.0);
        Next::Status(500)
    }
    pub fn say(&self, request: &Request, level: Level, message: &str) {
        request.log.write(level, message.as_bytes(), Some(request));
    }
    pub fn set_slot(&self, slot: usize, value: Option<Vec<u8>>) {
        let mut slots = self.slots.borrow_mut();
        if slots.len() <= slot {
            slots.resize(self.http().slots.max(slot + 1), None);
        }
        slots[slot] = value;
    }

    /// The code of a `*_by_lua_file` whose path has variables.
    pub fn dynamic(&self, request: &Request, code: &ngx::code::Code) -> Option<Arc<ngx::code::Code>> {
        let path = self.http().lua.dynamic.get(&code.id)?;
        let path = super::files::path_of(&self.eval(request, path));
        Some(self.worker.dynamic_code(self.worker.main.prefix.join(path)))
    }

    /// Runs one directive's Lua in a phase, and puts the request's own phase back.
    pub async fn lua(&self, request: &mut Request, phase: Phase, code: &ngx::code::Code) -> ngx::worker::PhaseEnd {
        let dynamic = self.dynamic(request, code);
        let code = dynamic.as_deref().unwrap_or(code);
        if request.log.enabled(Level::Debug) {
            let uri = String::from_utf8_lossy(&request.uri);
            // (filters say so themselves, whether there is Lua for this request or not)
            if phase != Phase::HeaderFilter {
                self.say(request, Level::Debug, &format!("lua {} handler, uri:\"{uri}\" c:1", phase.name()));
            }
        }
        request.output.piecewise = filter::by_pieces(self, request);
        request.output.head_first = self.settings().lua_header_filter.is_some() && !self.buffers(request);
        let before = std::mem::replace(&mut request.phase, phase);
        let end = self.worker.lua.run_phase(request, phase, code).await;
        request.phase = before;
        end
    }
}

impl Live {
    /// A handler that has no use for a request body drops what has come of it; false where its framing is broken.
    pub fn discard_body(&self, request: &Request) -> bool {
        let Some(wire) = self.wire.as_ref() else { return true };
        let fine = wire.discard_ahead();
        if !fine && let Some((level, words)) = BodyError::Status(400).words() {
            self.say(request, level, words);
        }
        fine
    }
}

impl Exchange for Live {
    fn read_body<'a>(&'a self, discard: bool) -> Local<'a, Result<Body, BodyError>> {
        Box::pin(async move {
            let Some(wire) = self.wire.clone().filter(|_| self.has_body) else {
                if let Some(wire) = &self.wire {
                    wire.expect_body().map_err(|_| BodyError::Status(499))?;
                }
                return Ok(Body::Memory(Bytes::new()));
            };
            let settings = self.settings();
            let limit = settings.client_max_body_size.unwrap_or(1 << 20);
            if limit > 0 && self.content_length.is_some_and(|length| length > limit) {
                return Err(BodyError::Status(413));
            }
            let in_memory = settings.client_body_buffer_size.unwrap_or(16 * 1024);
            let timeout = std::time::Duration::from_millis(settings.client_body_timeout.unwrap_or(60_000));
            let mut first: Option<Bytes> = None;
            let mut rest: Vec<u8> = Vec::new();
            let mut file: Option<(std::fs::File, TempFile)> = None;
            let mut total = 0u64;
            loop {
                let piece = match ngx::alarm::within(timeout, wire.body_piece()).await {
                    None => return Err(BodyError::Status(408)),
                    Some(None) => break,
                    Some(Some(Err(ClientGone))) => {
                        // A client that went away is nobody to answer to.
                        self.body_cut_short.set(!wire.bad_body.get());
                        return Err(BodyError::Status(if wire.bad_body.get() { 400 } else { 499 }));
                    }
                    Some(Some(Ok(piece))) => piece,
                };
                total += piece.len() as u64;
                self.body_bytes.set(total);
                if limit > 0 && total.saturating_add(wire.body_announced()) > limit {
                    return Err(BodyError::Status(413));
                }
                if discard {
                    continue;
                }
                if file.is_none() && (total > in_memory || settings.client_body_in_file_only == Some(true)) {
                    let mut made = self.temp_file().map_err(|_| BodyError::Status(500))?;
                    let held = first.take().unwrap_or_default();
                    write_all(&mut made.0, &held)?;
                    write_all(&mut made.0, &rest)?;
                    rest = Vec::new();
                    file = Some(made);
                }
                match (&mut file, &first) {
                    (Some((file, _)), _) => write_all(file, &piece)?,
                    (None, None) => first = Some(piece),
                    (None, Some(_)) => rest.extend_from_slice(&piece),
                }
            }
            if discard {
                return Ok(Body::Discarded);
            }
            if let Some((_, temp)) = file {
                return Ok(Body::File(Rc::new(temp)));
            }
            let first = first.unwrap_or_default();
            Ok(Body::Memory(if rest.is_empty() { first } else { Bytes::from([&first[..], &rest].concat()) }))
        })
    }

    fn send<'a>(&'a self, request: &'a mut Request, flush: bool, last: bool) -> Local<'a, Result<(), ClientGone>> {
        Box::pin(trace::over(Word::Respond, trace::note(String::new), response::send_lua(self, request, flush, last)))
    }

    fn variable(&self, request: &Request, name: &[u8]) -> Result<Option<Vec<u8>>, NoVariable> {
        if let Some(id) = self.http().names.find(name) {
            return Ok(self.var(request, id));
        }
        match vars::find(name) {
            Some(kind) => Ok(self.kind(request, &kind)),
            None => Err(NoVariable::NotFound),
        }
    }

    fn may_set_variable(&self, name: &[u8]) -> Result<(), NoVariable> {
        let defined = self.http().names.find(name).and_then(|id| self.http().vars.get(id as usize)).cloned();
        match defined.or_else(|| vars::find(name)) {
            None | Some(VarKind::Family(..)) => Err(NoVariable::NotFound),
            Some(VarKind::Slot(_) | VarKind::Builtin(vars::Builtin::Args | vars::Builtin::LimitRate)) => Ok(()),
            Some(_) => Err(NoVariable::NotChangeable),
        }
    }

    fn set_variable(&self, request: &mut Request, name: &[u8], value: Option<Vec<u8>>) -> Result<(), NoVariable> {
        let defined = self.http().names.find(name).and_then(|id| self.http().vars.get(id as usize)).cloned();
        match defined.or_else(|| vars::find(name)) {
            None => Err(NoVariable::NotFound),
            Some(kind) => self.assign(request, &kind, value),
        }
    }

    fn postpone_output(&self) -> usize {
        usize::try_from(self.settings().postpone_output.unwrap_or(1460)).unwrap_or(1460)
    }

    fn lua_conf(&self) -> &LuaConf {
        self.worker.lua_conf(self.at.get())
    }

    fn subrequest(self: Rc<Self>, parent: &Request, options: SubrequestOptions) -> Local<'static, SubrequestResult> {
        subrequest::run(self, parent, options)
    }

    fn lend(&self, _: &Request, raw: bool) -> Result<Rc<dyn Downstream>, &'static str> {
        let Some(wire) = self.wire.clone() else { return Err("no body") };
        if raw {
            if !wire.give_up() {
                return Err("pending data to write");
            }
            self.keep_alive.set(false);
            self.complete.set(true);
            let strict = self.settings().lua_check_client_abort.unwrap_or(false);
            return Ok(Rc::new(lent::Raw { wire, strict }));
        }
        match self.content_length {
            _ if wire.body_is_chunked() => Err("chunked request bodies not supported yet"),
            None | Some(0) => Err("no body"),
            _ if wire.expect_body().is_err() => Err("test expect failed"),
            _ => Ok(Rc::new(lent::Body(wire))),
        }
    }

    fn client_gone<'a>(&'a self) -> Local<'a, ()> {
        Box::pin(async move {
            match &self.wire {
                Some(wire) => wire.stream.closed().await,
                None => std::future::pending().await,
            }
        })
    }
}

impl Live {
    /// Sends what the server's own handlers have pending.
    pub async fn reply(&self, request: &mut Request, flush: bool, last: bool) -> Result<(), ClientGone> {
        trace::over(Word::Respond, trace::note(String::new), response::send(self, request, flush, last)).await
    }

    /// Part of a file as response body, past all filters; the head is out.
    pub async fn send_file(
        &self,
        request: &mut Request,
        file: &std::fs::File,
        from: u64,
        to: u64,
    ) -> Result<(), ClientGone> {
        let Some(wire) = &self.wire else { return Err(ClientGone) };
        if self.header_only.get() {
            return Ok(());
        }
        wire.file(file, from, to).await?;
        request.output.sent += to - from;
        Ok(())
    }

    /// Lua's output to an HTTP/1.0 client gathers until its length is known (lua_http10_buffering).
    pub fn buffers(&self, request: &Request) -> bool {
        request.version <= 10
            && self.capture.is_none()
            && !request.response.sent
            && !request.response.headers.contains(b"content-length")
            && self.settings().lua_http10_buffering.unwrap_or(true)
    }

    pub fn assign(&self, request: &mut Request, kind: &VarKind, value: Option<Vec<u8>>) -> Result<(), NoVariable> {
        match kind {
            VarKind::Slot(slot) => self.set_slot(*slot, value),
            VarKind::Builtin(vars::Builtin::Args) => request.args = value.filter(|args| !args.is_empty()),
            VarKind::Builtin(vars::Builtin::LimitRate) => {
                self.limit_rate.set(value.and_then(|size| crate::conf::scalar::size(&size)).unwrap_or(0));
            }
            // Only a `set` in the configuration makes a variable of its own of these.
            VarKind::Family(..) => return Err(NoVariable::NotFound),
            _ => return Err(NoVariable::NotChangeable),
        }
        Ok(())
    }

    fn temp_file(&self) -> std::io::Result<(std::fs::File, TempFile)> {
        let directory = match &self.settings().client_body_temp_path {
            Some(path) => super::files::path_of(path),
            None => self.worker.main.prefix.join("client_body_temp"),
        };
        if !directory.is_dir() {
            std::fs::create_dir_all(&directory)?;
        }
        let path = directory.join(format!("{:010}", self.worker.next_temp()));
        let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
        let keep = self.settings().client_body_in_file_only == Some(true);
        Ok((file, TempFile { path, keep }))
    }
}

fn write_all(file: &mut std::fs::File, bytes: &[u8]) -> Result<(), BodyError> {
    std::io::Write::write_all(file, bytes).map_err(|_| BodyError::Status(500))
}
