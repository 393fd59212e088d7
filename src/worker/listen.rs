//! Listening sockets. Every worker has one of its own per address (SO_REUSEPORT), because a shared one starves workers; a
//! probe without that option comes first, so that an address in use is found out as nginx finds it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ngx::log::Level;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::conf::os_error;
use crate::conf::tree::{Addr, Http, Listen};
use crate::log::Plain;

/// One address's sockets, one per worker. Kept over reloads: the queue of waiting connections survives.
pub struct Sockets {
    pub addr: Addr,
    sockets: Vec<Arc<Socket>>,
    /// Another process has opened them, and cleans up.
    adopted: bool,
}

impl Sockets {
    pub fn adopt(listen: &Listen, sockets: Vec<OwnedFd>) -> Sockets {
        let sockets = sockets.into_iter().map(|socket| Arc::new(Socket::from(socket))).collect();
        Sockets { addr: listen.addr.clone(), sockets, adopted: true }
    }

    /// For another process.
    pub fn copies(&self) -> io::Result<Vec<OwnedFd>> {
        self.sockets.iter().map(|socket| socket.try_clone().map(OwnedFd::from)).collect()
    }

    /// The sockets that one of so many workers serves: after a reload there may be more of them than workers, and each must be
    /// in somebody's hands, because the kernel goes on giving it connections.
    pub fn for_worker(&self, worker: usize, workers: usize) -> io::Result<Vec<Socket>> {
        let count = self.sockets.len();
        if worker >= count {
            return Ok(vec![self.sockets[worker % count].try_clone()?]);
        }
        (worker..count).step_by(workers.max(1)).map(|at| self.sockets[at].try_clone()).collect()
    }
}

/// How often, and with which pause, a busy address is tried again.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Opens what the configuration asks for, with those of `kept` that are open already. None: said, and nothing new is open.
pub fn open_all(http: &Http, workers: usize, kept: &[Arc<Sockets>], log: &Plain) -> Option<Vec<Arc<Sockets>>> {
    let mut open = Vec::new();
    for attempt in 0..TRIES {
        let mut failed = false;
        for listen in &http.listens {
            if open.iter().any(|sockets: &Arc<Sockets>| sockets.addr == listen.addr) {
                continue;
            }
            if let Some(sockets) = kept.iter().find(|sockets| sockets.addr == listen.addr) {
                open.push(sockets.clone());
                continue;
            }
            match open_one(listen, workers) {
                Ok(sockets) => open.push(Arc::new(sockets)),
                Err((call, error)) => {
                    let message = format!("{call} to {} failed {}", listen.text, os_error(&error));
                    report(log, &message);
                    if error.kind() != io::ErrorKind::AddrInUse {
                        return None;
                    }
                    failed = true;
                }
            }
        }
        if !failed {
            // In the configuration's order: a listener's index is its address's index.
            open.sort_by_key(|sockets| http.listens.iter().position(|listen| listen.addr == sockets.addr));
            return Some(open);
        }
        if attempt + 1 < TRIES {
            say(log, Level::Notice, "try again to bind() after 500ms");
            std::thread::sleep(PAUSE);
        }
    }
    report(log, "still could not bind()");
    None
}

fn report(log: &Plain, message: &str) {
    eprintln!("{}: [emerg] {message}", crate::cli::identity::PROGRAM);
    log.say(Level::Emerg, message);
}

fn say(log: &Plain, level: Level, message: &str) {
    log.say(level, message);
}

fn open_one(listen: &Listen, workers: usize) -> Result<Sockets, (&'static str, io::Error)> {
    let backlog = listen.backlog.unwrap_or(511);
    let address = match &listen.addr {
        Addr::Tcp(addr) => SockAddr::from(*addr),
        Addr::Unix(path) => {
            // A socket file that nobody serves any more is left over from a crash.
            if path.exists() && std::os::unix::net::UnixStream::connect(path).is_err() {
                let _ = std::fs::remove_file(path);
            }
            SockAddr::unix(path).map_err(|error| ("bind()", error))?
        }
    };
    let make = |reuse_port: bool| -> Result<Socket, (&'static str, io::Error)> {
        let domain = match &listen.addr {
            Addr::Tcp(addr) => Domain::for_address(*addr),
            Addr::Unix(_) => Domain::UNIX,
        };
        let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None).map_err(|e| ("socket()", e))?;
        if domain != Domain::UNIX {
            socket.set_reuse_address(true).map_err(|error| ("setsockopt(SO_REUSEADDR)", error))?;
            if domain == Domain::IPV6 {
                socket.set_only_v6(true).map_err(|error| ("setsockopt(IPV6_V6ONLY)", error))?;
            }
        }
        if reuse_port {
            socket.set_reuse_port(true).map_err(|error| ("setsockopt(SO_REUSEPORT)", error))?;
        }
        socket.bind(&address).map_err(|error| ("bind()", error))?;
        Ok(socket)
    };
    let unix = matches!(listen.addr, Addr::Unix(_));
    let probe = make(false)?;
    let sockets = if workers == 1 || unix {
        vec![probe]
    } else {
        drop(probe);
        (0..workers).map(|_| make(true)).collect::<Result<Vec<_>, _>>()?
    };
    for socket in &sockets {
        socket.listen(backlog).map_err(|error| ("listen()", error))?;
    }
    if let Addr::Unix(path) = &listen.addr {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        let _ = std::fs::set_permissions(path, mode);
    }
    Ok(Sockets { addr: listen.addr.clone(), sockets: sockets.into_iter().map(Arc::new).collect(), adopted: false })
}

impl Drop for Sockets {
    fn drop(&mut self) {
        if let Addr::Unix(path) = &self.addr
            && !self.adopted
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A listener in the hands of its worker.
pub enum Listener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Listener {
    /// Must be called inside the worker's runtime.
    pub fn new(socket: Socket, unix: bool) -> io::Result<Listener> {
        if unix {
            let listener = std::os::unix::net::UnixListener::from(OwnedFd::from(socket));
            return Ok(Listener::Unix(tokio::net::UnixListener::from_std(listener)?));
        }
        Ok(Listener::Tcp(tokio::net::TcpListener::from_std(socket.into())?))
    }
}
