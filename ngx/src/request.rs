//! One request as Lua sees it: plain data, owned by whoever drives its phases and lent to natives one after the other.
//!
//! What lies behind it (the client's connection, the configuration, nginx's variables) is an [`Exchange`], which the server
//! implements; timers and `perilune run` have requests too, with an exchange that has no client.
//!
//! What must stay true: nothing here holds a GC pointer; dropping a request never enters the VM.
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::bytes::Bytes;

use crate::headers::Headers;
use crate::log::{Level, Log};
use crate::phase::Phase;
use crate::resolver::Servers;

/// A future that stays on its worker's thread.
pub type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What is known of the client's connection. Addresses are text as `$remote_addr` and `$server_addr` show them.
#[derive(Debug, Default)]
pub struct Connection {
    /// `$connection`: counts up from 1 over the whole server.
    pub number: u64,
    pub remote_addr: Vec<u8>,
    pub remote_port: u16,
    pub server_addr: Vec<u8>,
    pub server_port: u16,
    pub unix: bool,
    pub https: bool,
    /// `$connection_requests`.
    pub requests: Cell<u64>,
    /// Unix time at which it was accepted, in milliseconds.
    pub started_ms: u64,
    /// What a PROXY protocol header said.
    pub proxy: Option<Rc<Proxied>>,
}

/// Who is behind a proxy that spoke the PROXY protocol. Addresses are text; empty where the proxy did not know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proxied {
    pub source: Vec<u8>,
    pub source_port: u16,
    pub destination: Vec<u8>,
    pub destination_port: u16,
    /// Type and value of the second version's extensions.
    pub extensions: Vec<(u8, Vec<u8>)>,
}

/// The request body, as far as it has been read.
#[derive(Clone, Debug, Default)]
pub enum Body {
    /// Not read yet (or there is none).
    #[default]
    Unread,
    Discarded,
    Memory(Bytes),
    /// In a temporary file, removed when the last clone of the path handle is dropped.
    File(Rc<TempFile>),
}

#[derive(Debug)]
pub struct TempFile {
    pub path: PathBuf,
    pub keep: bool,
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The response head that will be, or was, sent.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// 0: not set, 200 when it is sent.
    pub status: u16,
    /// The response headers that Lua can see and change: Content-Type, Content-Length, Location and all others, but not
    /// Server, Date, Connection, Transfer-Encoding, which the connection adds unless they are set here.
    pub headers: Headers,
    /// Lua may not change it any more (it was sent, or is about to be).
    pub sent: bool,
    /// The charset parameter that goes onto Content-Type where it has none.
    pub charset: Option<Bytes>,
}

impl Default for ResponseHead {
    fn default() -> Self {
        ResponseHead { status: 0, headers: Headers::new(), sent: false, charset: None }
    }
}

/// Response body on its way out. Natives append to `pending`; the driver takes it when it is large enough, or flushed, or ended.
#[derive(Debug, Default)]
pub struct Output {
    pub pending: Vec<u8>,
    /// Something was printed, or eof was called: the response head is final.
    pub started: bool,
    /// `ngx.flush` was called since the last time the output was taken.
    pub flush: bool,
    /// `ngx.eof` was called: nothing follows.
    pub eof: bool,
    /// What each call prints goes out by itself: a body filter looks at the pieces.
    pub piecewise: bool,
    /// A header filter wants to run before anything else does.
    pub head_first: bool,
    /// Such a piece is pending.
    pub piece: bool,
    /// Bytes of body handed to the connection so far.
    pub sent: u64,
    /// A write failed: the client is gone.
    pub broken: bool,
}

/// Why a phase (and with it maybe the request) is to end, as asked by a native. The first one wins.
#[derive(Clone, Debug, PartialEq)]
pub enum Finish {
    /// `ngx.exit(status)`: 0 (OK) ends the phase, >= 200 ends the request with that status (an error page if nothing was sent),
    /// negative: NGX_ERROR (-1), NGX_DECLINED (-5), NGX_DONE (-4).
    Exit(i32),
    /// `ngx.exec(uri, args)`: an internal redirect; `@name` goes to a named location.
    Exec { uri: Vec<u8>, args: Option<Vec<u8>> },
    /// `ngx.req.set_uri(uri, true)`: look for the location anew.
    Jump,
}

/// A failure of `Exchange::read_body`.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyError {
    /// The request is to end with this status (413, 400, 408 ...), 499 when the client went away.
    Status(u16),
}

impl BodyError {
    /// What the error log says of it; None: nothing, or it was said already.
    pub fn words(&self) -> Option<(Level, &'static str)> {
        match self {
            BodyError::Status(400) => Some((Level::Error, "client sent invalid chunked body")),
            BodyError::Status(413) => Some((Level::Error, "client intended to send too large chunked body")),
            BodyError::Status(499) => Some((Level::Info, "client prematurely closed connection")),
            BodyError::Status(_) => None,
        }
    }
}

/// The client's connection as `ngx.req.socket()` reads and writes it.
pub trait Downstream {
    /// How many bytes were read; 0: the end of the body, or (raw) of the client's side. `ConnectionAborted`: the client went
    /// away before that.
    fn poll_read(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>>;
    /// How many bytes the kernel took.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Resolves when it may take more.
    fn writable<'a>(&'a self) -> Local<'a, io::Result<()>>;
}

/// What lies behind a request. Implemented by the server; all methods are called on the worker's thread.
pub trait Exchange {
    /// Reads the whole request body, honouring client_max_body_size and the buffer directives. With `discard` the bytes are dropped.
    fn read_body<'a>(&'a self, discard: bool) -> Local<'a, Result<Body, BodyError>>;

    /// Takes `request.output.pending` and hands it to the client, the head first if it has not been sent, running the header
    /// and body filters on the way. `flush`: resolves when the bytes are in the kernel; otherwise when they are queued
    /// (back-pressure). `last`: nothing follows. An error means the client is gone; the output is dropped.
    fn send<'a>(&'a self, request: &'a mut Request, flush: bool, last: bool) -> Local<'a, Result<(), ClientGone>>;

    /// The value of an nginx variable (without `$`, lower case). None: no value ("not found"); Err: no such variable.
    fn variable(&self, request: &Request, name: &[u8]) -> Result<Option<Vec<u8>>, NoVariable>;

    /// Whether an nginx variable could be assigned.
    fn may_set_variable(&self, name: &[u8]) -> Result<(), NoVariable>;

    /// Assigns an nginx variable (None: undefined).
    fn set_variable(&self, request: &mut Request, name: &[u8], value: Option<Vec<u8>>) -> Result<(), NoVariable>;

    /// Response bytes that may gather before they go out on their own (postpone_output).
    fn postpone_output(&self) -> usize {
        1460
    }

    /// The lua_* directives in force at the request's location.
    fn lua_conf(&self) -> &LuaConf;

    /// Lends the client's connection to Lua: the request body's bytes as they come or, `raw`, everything, with the response
    /// in Lua's hands from now on and the connection ending with the request. Err: why not.
    fn lend(&self, request: &Request, raw: bool) -> Result<Rc<dyn Downstream>, &'static str> {
        let _ = (request, raw);
        Err("no body")
    }

    /// Resolves when the client has gone away (for lua_check_client_abort).
    fn client_gone<'a>(&'a self) -> Local<'a, ()>;

    /// Runs a subrequest (`ngx.location.capture`) and gathers its response. The future does not borrow the parent: what it
    /// needs of it (headers, body, variables) is taken before it is returned.
    fn subrequest(self: Rc<Self>, parent: &Request, options: SubrequestOptions) -> Local<'static, SubrequestResult> {
        let _ = (parent, options);
        let status = 500;
        Box::pin(std::future::ready(SubrequestResult { status, ..SubrequestResult::default() }))
    }
}

/// What `ngx.location.capture` asks for.
#[derive(Debug)]
pub struct SubrequestOptions {
    pub method: &'static str,
    /// Decoded, without arguments.
    pub uri: Vec<u8>,
    /// Those of the URI and those of the option, joined.
    pub args: Option<Vec<u8>>,
    /// The `body` option; without it the parent's body goes along with POST and PUT, and with `always_forward_body`.
    pub body: Option<Bytes>,
    pub always_forward_body: bool,
    /// The method is the parent's, whatever `method` says (mirror).
    pub verbatim: bool,
    /// Only the head of the response matters, and the request has no body (auth_request).
    pub head_only: bool,
    /// nginx variables to set in the subrequest, in order.
    pub variables: Vec<(Vec<u8>, Vec<u8>)>,
    /// The subrequest sees the parent's variables themselves, or (copy) their present values.
    pub share_all_vars: bool,
    pub copy_all_vars: bool,
    /// An error is answered with its page, as to a client; otherwise the status alone says it.
    pub error_pages: bool,
    /// The table that is its `ngx.ctx`: for `Request::set_ctx`.
    pub ctx: Option<vm::Stashed>,
}

impl SubrequestOptions {
    /// A plain GET.
    pub fn get(uri: Vec<u8>) -> SubrequestOptions {
        SubrequestOptions {
            method: "GET",
            uri,
            args: None,
            body: None,
            always_forward_body: false,
            verbatim: false,
            head_only: false,
            variables: Vec::new(),
            share_all_vars: false,
            copy_all_vars: false,
            error_pages: false,
            ctx: None,
        }
    }
}

/// A subrequest's response.
#[derive(Clone, Debug, Default)]
pub struct SubrequestResult {
    pub status: u16,
    /// Content-Type and Content-Length are among them.
    pub headers: Headers,
    pub body: Vec<u8>,
    /// The response broke off.
    pub truncated: bool,
}

/// The client closed the connection before the response was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientGone;

/// Why a variable cannot be read or written; `error` is worded as lua-nginx-module does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoVariable {
    NotFound,
    NotChangeable,
}

/// lua_* directives that natives look at while a request runs. Times are milliseconds.
#[derive(Clone, Debug)]
pub struct LuaConf {
    pub socket_connect_timeout: u64,
    pub socket_send_timeout: u64,
    pub socket_read_timeout: u64,
    pub socket_keepalive_timeout: u64,
    pub socket_pool_size: usize,
    pub socket_buffer_size: usize,
    pub socket_log_errors: bool,
    pub http10_buffering: bool,
    pub check_client_abort: bool,
    pub need_request_body: bool,
    pub use_default_type: bool,
    pub transform_underscores: bool,
    /// Off: each request has a VM of its own, and code is read anew.
    pub code_cache: bool,
    /// Bytes; 0: no limit of its own.
    pub client_body_buffer_size: usize,
    /// The MIME type of a response without one, from default_type.
    pub default_type: Bytes,
    pub tcp_nodelay: bool,
    /// The `resolver` directive; None: there is none.
    pub resolver: Option<Arc<Servers>>,
    pub resolver_timeout: u64,
    /// The lua_ssl_* directives.
    pub tls: Arc<crate::tls::Client>,
}

impl Default for LuaConf {
    fn default() -> Self {
        LuaConf {
            socket_connect_timeout: 60_000,
            socket_send_timeout: 60_000,
            socket_read_timeout: 60_000,
            socket_keepalive_timeout: 60_000,
            socket_pool_size: 30,
            socket_buffer_size: 4096,
            socket_log_errors: true,
            http10_buffering: true,
            check_client_abort: false,
            need_request_body: false,
            use_default_type: true,
            transform_underscores: true,
            code_cache: true,
            client_body_buffer_size: 16 * 1024,
            default_type: Bytes::from_static(b"text/plain"),
            tcp_nodelay: true,
            resolver: None,
            resolver_timeout: 30_000,
            tls: crate::tls::Client::standard(),
        }
    }
}

pub struct Request {
    /// As on the request line: `GET`.
    pub method: Bytes,
    /// `$request_uri`: the target as the client sent it.
    pub target: Bytes,
    /// 9, 10 or 11 (20 for HTTP/2).
    pub version: u8,
    /// The request line and the head with it, byte for byte, empty where there is no client.
    pub request_line: Bytes,
    pub raw_head: Bytes,
    pub headers: Headers,
    /// `$uri`: decoded and normalised; `ngx.req.set_uri` and internal redirects change it.
    pub uri: Vec<u8>,
    /// `$args`; None: there was no `?`.
    pub args: Option<Vec<u8>>,
    pub body: Body,
    pub connection: Rc<Connection>,
    pub phase: Phase,
    pub response: ResponseHead,
    pub output: Output,
    pub finish: Option<Finish>,
    /// This request was redirected internally (`ngx.req.is_internal`).
    pub internal: bool,
    pub is_subrequest: bool,
    /// Unix time at which the request's first byte was read, in milliseconds.
    pub start_ms: u64,
    /// Captures of the last regex location or rewrite: `$1` .. (`ngx.var[1]`).
    pub captures: Vec<Option<Vec<u8>>>,
    pub log: Rc<dyn Log>,
    pub exchange: Rc<dyn Exchange>,
    /// Private to this crate: the request's `ngx.ctx`, its light threads' bookkeeping, `ngx.arg`.
    pub lua: crate::state::LuaState,
}

impl Request {
    /// Notes that this is a subrequest of `parent`: how deep they may nest is limited.
    pub fn set_parent(&mut self, parent: &Request) {
        self.is_subrequest = true;
        self.lua.depth = parent.lua.depth + 1;
        self.lua.sockets = parent.lua.sockets.get_or_init(Rc::default).clone().into();
    }

    /// Makes a table of the same worker's VM this request's `ngx.ctx`.
    pub fn set_ctx(&mut self, ctx: vm::Stashed) {
        self.lua.ctx = Some(crate::state::CtxTable::new(ctx, &self.log));
    }

    /// The request is redirected internally: Lua's own state of it, `ngx.ctx` above all, begins anew.
    pub fn reset_lua(&mut self) {
        self.lua.reset();
    }

    /// The worker whose Lua has run for this request.
    pub fn lua_worker(&self) -> Option<Rc<crate::worker::Worker>> {
        self.lua.worker.clone()
    }
    /// A request without a client: for timers, init_worker, `perilune run`.
    pub fn bare(log: Rc<dyn Log>, exchange: Rc<dyn Exchange>) -> Request {
        Request {
            method: Bytes::from_static(b"GET"),
            target: Bytes::new(),
            version: 10,
            request_line: Bytes::new(),
            raw_head: Bytes::new(),
            headers: Headers::new(),
            uri: Vec::new(),
            args: None,
            body: Body::Unread,
            connection: Rc::default(),
            phase: Phase::Timer,
            response: ResponseHead::default(),
            output: Output::default(),
            finish: None,
            internal: false,
            is_subrequest: false,
            start_ms: 0,
            captures: Vec::new(),
            log,
            exchange,
            lua: Default::default(),
        }
    }
}

/// What lies behind a request without a client: nothing is read, output is dropped, no variable exists.
pub struct NoClient {
    conf: LuaConf,
}

impl NoClient {
    pub fn new(conf: LuaConf) -> NoClient {
        NoClient { conf }
    }
}

impl Exchange for NoClient {
    fn read_body<'a>(&'a self, _discard: bool) -> Local<'a, Result<Body, BodyError>> {
        Box::pin(std::future::ready(Ok(Body::Discarded)))
    }
    fn send<'a>(&'a self, request: &'a mut Request, _flush: bool, _last: bool) -> Local<'a, Result<(), ClientGone>> {
        request.output.pending.clear();
        request.response.sent = true;
        Box::pin(std::future::ready(Ok(())))
    }
    fn variable(&self, _request: &Request, _name: &[u8]) -> Result<Option<Vec<u8>>, NoVariable> {
        Err(NoVariable::NotFound)
    }
    fn may_set_variable(&self, _: &[u8]) -> Result<(), NoVariable> {
        Err(NoVariable::NotFound)
    }
    fn set_variable(&self, _: &mut Request, _: &[u8], _: Option<Vec<u8>>) -> Result<(), NoVariable> {
        Err(NoVariable::NotFound)
    }
    fn lua_conf(&self) -> &LuaConf {
        &self.conf
    }
    fn client_gone<'a>(&'a self) -> Local<'a, ()> {
        Box::pin(std::future::pending())
    }
}
