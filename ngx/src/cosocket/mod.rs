//! Cosockets: streams that Lua reads and writes as if it blocked, and the pools of idle connections.
//!
//! A `Socket` is shared by the Lua object and the operation that waits on it; reads and writes go through `&self` of the stream,
//! so nothing is borrowed across an await. What is at hand at once (buffered bytes, room in the kernel's buffer, a pooled
//! connection) is taken without waiting.
mod pool;
mod read;
pub(crate) mod udp;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use crate::request::Request;
pub(crate) use pool::Pools;
pub(crate) use read::{Pattern, Until};

/// A connected stream.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(s) => s.try_read(into),
            Stream::Unix(s) => s.try_read(into),
        }
    }
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(s) => s.try_write(bytes),
            Stream::Unix(s) => s.try_write(bytes),
        }
    }
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(s) => s.readable().await,
            Stream::Unix(s) => s.readable().await,
        }
    }
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(s) => s.writable().await,
            Stream::Unix(s) => s.writable().await,
        }
    }
}

/// Where a connection goes: names its pool, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Tcp { host: String, port: u16 },
    Unix(String),
}

/// A connection that is being used: the stream, what was read ahead, how often it came out of a pool.
pub(crate) struct Connected {
    pub stream: Stream,
    pub buffer: RefCell<Vec<u8>>,
    /// Bytes at the buffer's start that are used up already.
    pub start: Cell<usize>,
    pub reused: u64,
    pub pool: Vec<u8>,
    pub pool_size: usize,
    /// The peer has closed, or an error made the stream useless for reading.
    pub eof: Cell<bool>,
}

/// What `ngx.socket.tcp()` gives.
pub(crate) struct Socket {
    pub connected: RefCell<Option<Rc<Connected>>>,
    /// Milliseconds; None: the directive's default.
    pub connect_timeout: Cell<Option<u64>>,
    pub send_timeout: Cell<Option<u64>>,
    pub read_timeout: Cell<Option<u64>>,
    pub reading: Cell<bool>,
    pub writing: Cell<bool>,
    pub connecting: Cell<bool>,
    pub owner: Owner,
}

/// The request that connected a socket: no other may use it. (A request is known by its list of subrequests.)
#[derive(Default)]
pub(crate) struct Owner(RefCell<Weak<RefCell<Vec<vm::ThreadId>>>>);

impl Owner {
    pub fn set(&self, request: &Request) {
        *self.0.borrow_mut() = Rc::downgrade(&request.lua.subrequests);
    }
    pub fn is(&self, request: &Request) -> bool {
        self.0.borrow().as_ptr() == Rc::as_ptr(&request.lua.subrequests)
    }
}

impl Socket {
    /// Whether a request may use it: it is not connected, or this one connected it.
    pub fn belongs_to(&self, request: &Request) -> bool {
        self.connected.borrow().is_none() || self.owner.is(request)
    }
    pub fn new() -> Socket {
        Socket {
            connected: RefCell::new(None),
            connect_timeout: Cell::new(None),
            send_timeout: Cell::new(None),
            read_timeout: Cell::new(None),
            reading: Cell::new(false),
            writing: Cell::new(false),
            connecting: Cell::new(false),
            owner: Owner::default(),
        }
    }
    pub fn current(&self) -> Option<Rc<Connected>> {
        self.connected.borrow().clone()
    }
}

/// Sets a flag for as long as it lives: an operation that is cancelled clears it, too.
pub(crate) struct Busy {
    socket: Rc<Socket>,
    which: fn(&Socket) -> &Cell<bool>,
}

impl Busy {
    pub fn new(socket: &Rc<Socket>, which: fn(&Socket) -> &Cell<bool>) -> Busy {
        which(socket).set(true);
        Busy { socket: socket.clone(), which }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        (self.which)(&self.socket).set(false);
    }
}

/// An operation's failure: `timeout`, `closed`, or the system's words in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub words: String,
    /// What the error log says, if the log is to say something.
    pub log: Option<String>,
    /// The connection is of no more use.
    pub fatal: bool,
}

impl Failure {
    pub fn timeout(log: &str) -> Failure {
        Failure { words: "timeout".into(), log: Some(log.into()), fatal: false }
    }
    pub fn closed() -> Failure {
        Failure { words: "closed".into(), log: None, fatal: true }
    }
    pub fn io(call: &str, e: &io::Error) -> Failure {
        let text = stdlib::io_error(e);
        let words = match e.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset if call == "send" => {
                return Failure { words: text.to_lowercase(), log: Some(error_line("send", e)), fatal: true };
            }
            _ => text.to_lowercase(),
        };
        Failure { words, log: Some(error_line(call, e)), fatal: true }
    }
}

/// `connect() failed (111: Connection refused)`.
fn error_line(call: &str, e: &io::Error) -> String {
    format!("{call}() failed ({}: {})", e.raw_os_error().unwrap_or(0), stdlib::io_error(e))
}

/// Runs an operation with a limit in milliseconds (0: none).
pub(crate) async fn within<T>(ms: u64, job: impl Future<Output = T>) -> Option<T> {
    if ms == 0 {
        return Some(job.await);
    }
    tokio::time::timeout(Duration::from_millis(ms), job).await.ok()
}

/// Opens a connection.
pub(crate) async fn connect(target: &Target, resolvers: &[String], ms: u64) -> Result<Stream, Failure> {
    match target {
        Target::Unix(path) => match within(ms, UnixStream::connect(path)).await {
            Some(Ok(stream)) => Ok(Stream::Unix(stream)),
            Some(Err(e)) => Err(Failure::io("connect", &e)),
            None => Err(Failure::timeout("lua tcp socket connect timed out")),
        },
        Target::Tcp { host, port } => {
            let addresses = resolve(host, *port, resolvers).await?;
            let mut last = None;
            for address in addresses {
                match within(ms, TcpStream::connect(address)).await {
                    Some(Ok(stream)) => {
                        // (a socket that is gone already fails at its first use)
                        let _ = stream.set_nodelay(true);
                        return Ok(Stream::Tcp(stream));
                    }
                    Some(Err(e)) => last = Some(Failure::io("connect", &e)),
                    None => {
                        let words = format!("lua tcp socket connect timed out, when connecting to {address}");
                        return Err(Failure::timeout(&words));
                    }
                }
            }
            Err(last.unwrap_or_else(|| not_found(host)))
        }
    }
}

fn not_found(host: &str) -> Failure {
    let words = format!("{host} could not be resolved (3: Host not found)");
    Failure { words, log: None, fatal: true }
}

/// Addresses as they are; names by the system's resolver, if the configuration has a `resolver` line.
pub(crate) async fn resolve(host: &str, port: u16, resolvers: &[String]) -> Result<Vec<std::net::SocketAddr>, Failure> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<std::net::IpAddr>() {
        return Ok(vec![(ip, port).into()]);
    }
    if resolvers.is_empty() {
        let words = format!("no resolver defined to resolve \"{host}\"");
        return Err(Failure { words, log: None, fatal: true });
    }
    match tokio::net::lookup_host((bare, port)).await {
        Ok(found) => {
            // nginx asks for A records first.
            let (four, six): (Vec<_>, Vec<_>) = found.partition(|a| a.is_ipv4());
            Ok(if four.is_empty() { six } else { four })
        }
        Err(_) => Err(not_found(host)),
    }
}

impl Connected {
    pub fn new(stream: Stream, pool: Vec<u8>, pool_size: usize) -> Connected {
        Connected {
            stream,
            buffer: RefCell::default(),
            start: Cell::new(0),
            reused: 0,
            pool,
            pool_size,
            eof: Cell::new(false),
        }
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
