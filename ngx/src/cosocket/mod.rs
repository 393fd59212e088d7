//! Cosockets: streams that Lua reads and writes as if it blocked, and the pools of idle connections.
//!
//! A `Socket` is shared by the Lua object and the operation that waits on it; reads and writes go through `&self` of the stream,
//! so nothing is borrowed across an await. What is at hand at once (buffered bytes, room in the kernel's buffer, a pooled
//! connection) is taken without waiting.
mod eyeballs;
mod outlet;
mod pool;
mod read;
pub(crate) mod udp;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::log::{Level, Log};
use crate::places::Place;
use crate::request::{Downstream, LuaConf, Request};
use crate::resolver::Servers;
use crate::worker::Worker;
pub(crate) use outlet::Outlet;
pub(crate) use pool::{Entry, Pools, Queued, Seat, Unfit};
pub(crate) use read::{Pattern, Until};

use crate::stream::Stream;
use crate::tls::{Fault, Tls, Trust};

/// Where a connection goes: names its pool, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Tcp { host: String, port: u16 },
    Unix(String),
}

/// What a socket reads and writes: a connection of its own, or the client's, lent for the length of the request.
pub(crate) enum Source {
    Peer(Rc<Outlet>),
    Secure(Box<Tls>),
    Client(Rc<dyn Downstream>),
}

impl Target {
    /// What is to be done first to get there.
    pub fn stage(&self) -> Stage {
        match self {
            Target::Tcp { host, .. } if bare(host).parse::<IpAddr>().is_err() => Stage::Resolving,
            _ => Stage::Connecting,
        }
    }

    /// A host, which may name its port itself. Err: nginx's words for what it is not.
    pub fn tcp(host: &str, port: u16) -> Result<Target, &'static str> {
        let plain = |host: &str| Ok(Target::Tcp { host: host.to_string(), port });
        if host.is_empty() {
            return Err("no host");
        }
        if host.parse::<IpAddr>().is_ok() {
            return plain(host);
        }
        let (name, rest) = match host.strip_prefix('[') {
            Some(inner) => {
                let end = inner.find(']').ok_or("invalid host")?;
                (&host[..end + 2], &host[end + 2..])
            }
            None => host.split_at(host.find(':').unwrap_or(host.len())),
        };
        if name.is_empty() {
            return Err("no host");
        }
        match rest.strip_prefix(':') {
            None if rest.is_empty() => plain(name),
            None => Err("invalid host"),
            Some(digits) => match digits.parse() {
                Ok(port @ 1..) => Ok(Target::Tcp { host: name.to_string(), port }),
                _ => Err("invalid port"),
            },
        }
    }
}

/// A connection that is being used: the stream, what was read ahead, how often it came out of a pool.
pub(crate) struct Connected {
    pub stream: Source,
    pub buffer: RefCell<Vec<u8>>,
    /// Bytes at the buffer's start that are used up already.
    pub start: Cell<usize>,
    pub reused: u64,
    pub pool: Vec<u8>,
    pub seat: Option<Seat>,
    /// The peer has closed, or an error made the stream useless for reading.
    pub eof: Cell<bool>,
    /// A read failed: there will be no other.
    pub read_closed: Cell<bool>,
    /// A write failed: there will be no other.
    pub write_closed: Cell<bool>,
    /// The log knows already that Nagle's algorithm is off.
    pub nodelay_told: Cell<bool>,
    pub trace: Trace,
}

/// Says in the debug log that a connection is given back, when it is.
#[derive(Default)]
pub(crate) struct Trace(Option<Rc<dyn Log>>);

impl Trace {
    pub fn new(request: &Request) -> Trace {
        Trace(request.log.enabled(Level::Debug).then(|| request.log.clone()))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if let Some(log) = &self.0 {
            log.write(Level::Debug, b"lua finalize socket", None);
        }
    }
}

/// What a socket that has no connection yet is doing about it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Stage {
    #[default]
    Idle,
    /// Waiting for a seat in the pool.
    Queued,
    /// Waiting for the name's addresses.
    Resolving,
    Connecting,
}

/// What `ngx.socket.tcp()` and `ngx.req.socket()` give.
#[derive(Default)]
pub(crate) struct Socket {
    pub connected: RefCell<Option<Rc<Connected>>>,
    /// Milliseconds; None: the directive's default.
    pub connect_timeout: Cell<Option<u64>>,
    pub send_timeout: Cell<Option<u64>>,
    pub read_timeout: Cell<Option<u64>>,
    pub reading: Cell<bool>,
    pub writing: Cell<bool>,
    pub stage: Cell<Stage>,
    /// The address that `bind` asked for.
    pub local: Cell<Option<IpAddr>>,
    /// What `settrustedstore` gave, for the next handshake.
    pub trust: RefCell<Option<Rc<Trust>>>,
    pub owner: Owner,
}

/// The request that connected a socket: no other may use it. (A request is known by its list of subrequests.)
#[derive(Default)]
pub(crate) struct Owner(RefCell<Weak<RefCell<Vec<vm::ThreadId>>>>);

impl Owner {
    pub fn set(&self, request: &Request) {
        *self.0.borrow_mut() = Rc::downgrade(request.lua.subrequests());
    }
    /// Some request has connected it.
    pub fn is_known(&self) -> bool {
        !self.0.borrow().ptr_eq(&Weak::new())
    }
    pub fn is(&self, request: &Request) -> bool {
        self.0.borrow().as_ptr() == Rc::as_ptr(request.lua.subrequests())
    }
}

impl Socket {
    /// Whether a request may use it: it is not connected, or this one connected it.
    pub fn belongs_to(&self, request: &Request) -> bool {
        (self.connected.borrow().is_none() && self.stage.get() == Stage::Idle) || self.owner.is(request)
    }
    pub fn current(&self) -> Option<Rc<Connected>> {
        self.connected.borrow().clone()
    }
}

/// The sockets that a request connected: its end is theirs.
#[derive(Default)]
pub(crate) struct Sockets {
    known: Vec<Weak<Socket>>,
    /// The place to look at next: one a time keeps the list at most twice as long as need be.
    at: usize,
}

impl Sockets {
    /// Whether the place of a socket that is no longer connected was used again.
    pub fn add(&mut self, socket: &Rc<Socket>) -> bool {
        let mine = Rc::downgrade(socket);
        self.at = if self.at + 1 < self.known.len() { self.at + 1 } else { 0 };
        match self.known.get_mut(self.at) {
            Some(place) if place.upgrade().is_none_or(|known| known.connected.borrow().is_none()) => {
                *place = mine;
                true
            }
            _ => {
                self.known.push(mine);
                false
            }
        }
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for socket in self.known.drain(..).filter_map(|socket| socket.upgrade()) {
            drop(socket.connected.borrow_mut().take());
        }
    }
}

/// Marks a socket as busy for as long as it lives. An operation that is broken off (its thread was killed) leaves the
/// connection in the middle of something: it is given up.
pub(crate) struct Busy {
    socket: Rc<Socket>,
    which: fn(&Socket) -> &Cell<bool>,
    over: bool,
}

impl Busy {
    pub fn reading(socket: &Rc<Socket>) -> Busy {
        Busy::new(socket, |socket| &socket.reading)
    }
    pub fn writing(socket: &Rc<Socket>) -> Busy {
        Busy::new(socket, |socket| &socket.writing)
    }
    fn new(socket: &Rc<Socket>, which: fn(&Socket) -> &Cell<bool>) -> Busy {
        which(socket).set(true);
        Busy { socket: socket.clone(), which, over: false }
    }
    /// It came to its end.
    pub fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        (self.which)(&self.socket).set(false);
        if !self.over {
            drop(self.socket.connected.borrow_mut().take());
        }
    }
}

/// Marks a socket as connecting, and says in the debug log if that is broken off.
pub(crate) struct Connecting {
    socket: Rc<Socket>,
    log: Option<Rc<dyn Log>>,
}

impl Connecting {
    pub fn new(socket: &Rc<Socket>, stage: Stage, request: &Request) -> Connecting {
        socket.stage.set(stage);
        Connecting { socket: socket.clone(), log: request.log.enabled(Level::Debug).then(|| request.log.clone()) }
    }
    pub fn at(&self, stage: Stage) {
        self.socket.stage.set(stage);
    }
    /// It came to its end.
    pub fn over(mut self) {
        self.log = None;
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        let words = match self.socket.stage.replace(Stage::Idle) {
            Stage::Resolving => "lua tcp socket abort resolver",
            Stage::Connecting => "lua finalize socket",
            Stage::Idle | Stage::Queued => return,
        };
        if let Some(log) = &self.log {
            log.write(Level::Debug, words.as_bytes(), None);
        }
    }
}

/// An operation's failure: `timeout`, `closed`, or the system's words in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub words: String,
    /// What the error log says, if the log is to say something.
    pub log: Option<String>,
    pub level: Level,
    /// The connection is of no more use.
    pub fatal: bool,
}

impl Failure {
    /// Something that is no matter for the log.
    pub fn silent(words: impl Into<String>) -> Failure {
        Failure { words: words.into(), log: None, level: Level::Error, fatal: true }
    }
    pub fn timeout(log: &str) -> Failure {
        Failure { log: Some(log.into()), fatal: false, ..Failure::silent("timeout") }
    }
    pub fn closed() -> Failure {
        Failure::silent("closed")
    }
    /// What Lua asked for cannot be done on a socket that is not connected (any more).
    pub fn not_connected(doing: &str) -> Failure {
        let line = format!("attempt to {doing} a closed socket: u:0000000000000000, c:0000000000000000, ft:0 eof:0");
        Failure { log: Some(line), ..Failure::closed() }
    }
    /// A system call's error: `connect() failed (111: Connection refused)` in the log.
    pub fn io(call: &str, e: &io::Error) -> Failure {
        if let Some(fault) = e.get_ref().and_then(|inner| inner.downcast_ref::<Fault>()) {
            let call = if call == "send" { "SSL_write" } else { "SSL_read" };
            return Failure { log: Some(fault.line(call)), level: fault.level, ..Failure::silent("error") };
        }
        Failure { log: Some(error_line(&format!("{call}() "), e)), ..Failure::silent(system_words(e)) }
    }
    /// The same for a call that fails at once: nginx takes what is not the peer's fault more seriously.
    fn at_once(call: &str, e: &io::Error) -> Failure {
        use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
        let peer = matches!(e.kind(), ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable);
        let level = if peer { Level::Error } else { Level::Crit };
        Failure { log: Some(error_line(call, e)), level, ..Failure::silent(system_words(e)) }
    }
}

fn system_words(e: &io::Error) -> String {
    stdlib::io_error(e).to_lowercase()
}

fn error_line(call: &str, e: &io::Error) -> String {
    format!("{call}failed ({}: {})", e.raw_os_error().unwrap_or(0), stdlib::io_error(e))
}

/// Runs an operation with a limit in milliseconds (0: none).
pub(crate) async fn within<T>(ms: u64, job: impl Future<Output = T>) -> Option<T> {
    if ms == 0 {
        return Some(job.await);
    }
    crate::alarm::within(Duration::from_millis(ms), job).await
}

/// Where a connection goes to and comes from.
#[derive(Clone)]
pub(crate) struct Route {
    pub target: Target,
    pub local: Option<IpAddr>,
    pub names: Names,
    /// Milliseconds for connecting.
    pub ms: u64,
}

/// Opens a connection; `resolved` is called when all that is left is to connect.
pub(crate) async fn connect(route: &Route, resolved: impl Fn()) -> Result<Stream, Failure> {
    let ms = route.ms;
    match &route.target {
        Target::Unix(path) => {
            resolved();
            let place = route.names.place()?;
            match within(ms, UnixStream::connect(path)).await {
                Some(Ok(stream)) => Ok(Stream::from(stream).at(place)),
                Some(Err(e)) => Err(Failure::at_once(&format!("connect() to unix:{path} "), &e)),
                None => Err(Failure::timeout("lua tcp socket connect timed out")),
            }
        }
        Target::Tcp { host, port } => {
            let mut addresses = resolve(host, *port, &route.names).await?;
            // (from an address of one family there is no way to the other)
            if let Some(local) = route.local
                && addresses.iter().any(|address| address.is_ipv6() == local.is_ipv6())
            {
                addresses.retain(|address| address.is_ipv6() == local.is_ipv6());
            }
            resolved();
            let place = route.names.place()?;
            let to = addresses.first().map_or_else(String::new, ToString::to_string);
            // (one address, as most names have: no race)
            let made = match addresses[..] {
                [one] => within(ms, connect_to(one, route.local)).await.map(Some),
                _ => within(ms, Box::pin(eyeballs::race(addresses, route.local, ms))).await,
            };
            match made {
                Some(Some(Ok(stream))) => {
                    // (a socket that is gone already fails at its first use)
                    let _ = stream.set_nodelay(true);
                    Ok(Stream::from(stream).at(place))
                }
                Some(Some(Err(failure))) => Err(failure),
                Some(None) => Err(not_found(host)),
                None => {
                    let words = format!("lua tcp socket connect timed out, when connecting to {to}");
                    Err(Failure::timeout(&words))
                }
            }
        }
    }
}

async fn connect_to(address: SocketAddr, local: Option<IpAddr>) -> Result<TcpStream, Failure> {
    let refused = |e| Failure::io("connect", &e);
    let Some(local) = local else { return TcpStream::connect(address).await.map_err(refused) };
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(|e| Failure::io("socket", &e))?;
    socket.bind((local, 0).into()).map_err(|e| Failure::at_once(&format!("bind({local}) "), &e))?;
    socket.connect(address).await.map_err(refused)
}

fn not_found(host: &str) -> Failure {
    Failure::silent(format!("{host} could not be resolved (3: Host not found)"))
}

/// Who knows names, and what the configuration says about it.
#[derive(Clone)]
pub(crate) struct Names {
    worker: Rc<Worker>,
    servers: Option<Arc<Servers>>,
    ms: u64,
}

impl Names {
    pub fn new(worker: Rc<Worker>, conf: &LuaConf) -> Names {
        Names { worker, servers: conf.resolver.clone(), ms: conf.resolver_timeout }
    }
    /// A place among the worker's connections.
    fn place(&self) -> Result<Place, Failure> {
        let places = &self.worker.setup.places;
        places.take().ok_or_else(|| Failure {
            log: Some(places.words()),
            level: Level::Alert,
            ..Failure::silent("error")
        })
    }
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

/// Addresses as they are; names by the `resolver` directive's servers.
pub(crate) async fn resolve(host: &str, port: u16, names: &Names) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(ip) = bare(host).parse::<IpAddr>() {
        return Ok(vec![(ip, port).into()]);
    }
    let Some(servers) = &names.servers else {
        return Err(Failure::silent(format!("no resolver defined to resolve \"{host}\"")));
    };
    // (on the heap: those who have an address should not carry it)
    match Box::pin(names.worker.names.resolve(servers, host, names.ms)).await {
        Ok(found) => Ok(found.iter().map(|ip| (*ip, port).into()).collect()),
        Err(e) => Err(Failure::silent(format!("{host} could not be resolved {}", e.words()))),
    }
}

impl Source {
    pub fn poll_read(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Source::Peer(outlet) => outlet.poll_read(cx, out),
            Source::Secure(tls) => tls.poll_read(cx, out),
            Source::Client(client) => client.poll_read(cx, out),
        }
    }
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Source::Peer(outlet) => outlet.try_write(bytes),
            Source::Secure(tls) => tls.try_write(bytes),
            Source::Client(client) => client.try_write(bytes),
        }
    }
    async fn writable(&self) -> io::Result<()> {
        match self {
            Source::Peer(outlet) => outlet.stream().writable().await,
            Source::Secure(tls) => tls.stream().writable().await,
            Source::Client(client) => client.writable().await,
        }
    }
    /// Reads or sets an option of the socket; the client's has none for Lua.
    pub fn options<T>(&self, job: impl FnOnce(&SockRef<'_>) -> io::Result<T>) -> io::Result<T> {
        match self.stream() {
            Some(stream) => job(&SockRef::from(&stream.as_fd())),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }
    /// The socket's number, for the debug log; -1: not ours.
    pub fn fd(&self) -> i32 {
        self.stream().map_or(-1, Stream::fd)
    }
    fn stream(&self) -> Option<&Stream> {
        match self {
            Source::Peer(outlet) => Some(outlet.stream()),
            Source::Secure(tls) => Some(tls.stream()),
            Source::Client(_) => None,
        }
    }
    /// Nothing has come that was not read, not even the end.
    fn is_quiet(&self) -> bool {
        self.poll_read(&mut Context::from_waker(Waker::noop()), &mut [0]).is_pending()
    }
}

impl Connected {
    pub fn new(stream: Source, pool: Vec<u8>) -> Connected {
        Connected {
            stream,
            buffer: RefCell::default(),
            start: Cell::new(0),
            reused: 0,
            pool,
            seat: None,
            eof: Cell::new(false),
            read_closed: Cell::new(false),
            write_closed: Cell::new(false),
            nodelay_told: Cell::new(false),
            trace: Trace::default(),
        }
    }
    pub fn is_client(&self) -> bool {
        matches!(self.stream, Source::Client(_))
    }

    /// Takes bytes to write that need not go out before the turn's end; whether it did.
    pub fn write_soon(&self, bytes: &[u8], ms: u64) -> bool {
        matches!(&self.stream, Source::Peer(outlet) if outlet.take(bytes, ms))
    }
    /// Writes what the kernel takes at once; how many bytes that was.
    pub fn write_now(&self, bytes: &[u8]) -> Result<usize, Failure> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.try_write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(Failure::io("send", &e)),
            }
        }
        Ok(sent)
    }
    pub async fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut sent = 0;
        while sent < bytes.len() {
            self.stream.writable().await.map_err(|e| Failure::io("send", &e))?;
            sent += self.write_now(&bytes[sent..])?;
        }
        Ok(())
    }
}
