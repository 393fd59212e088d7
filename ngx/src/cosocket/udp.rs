//! Datagram sockets: one peer each, one datagram a call.
use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::{UdpSocket, UnixDatagram};

use crate::places::Place;
use crate::request::Request;

use super::{Failure, Names, Owner, Target, not_found, resolve, within};

/// A socket with a peer.
pub(crate) enum Datagrams {
    Udp(UdpSocket, #[expect(dead_code, reason = "given back when it is dropped")] Place),
    Unix(UnixDatagram, #[expect(dead_code, reason = "given back when it is dropped")] Place),
}

/// What `ngx.socket.udp()` gives.
#[derive(Default)]
pub(crate) struct Socket {
    pub peer: RefCell<Option<Rc<Datagrams>>>,
    /// Milliseconds; None: the directive's default.
    pub read_timeout: Cell<Option<u64>>,
    pub busy: Cell<bool>,
    /// The address that `bind` asked for.
    pub local: Cell<Option<IpAddr>>,
    pub owner: Owner,
}

impl Socket {
    /// Whether a request may use it: none has yet, or the same one.
    pub fn belongs_to(&self, request: &Request) -> bool {
        self.peer.borrow().is_none() || self.owner.is(request)
    }
    pub fn current(&self) -> Option<Rc<Datagrams>> {
        self.peer.borrow().clone()
    }
}

/// Sets the socket's flag for as long as it lives. A wait that is broken off (its thread was killed) closes the socket: what comes
/// late is nobody's answer.
pub(crate) struct Busy {
    socket: Rc<Socket>,
    over: bool,
}

impl Busy {
    pub fn new(socket: &Rc<Socket>) -> Busy {
        socket.busy.set(true);
        Busy { socket: socket.clone(), over: false }
    }
    /// It came to its end.
    pub fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.socket.busy.set(false);
        if !self.over {
            drop(self.socket.peer.borrow_mut().take());
        }
    }
}

impl Datagrams {
    /// For the debug log.
    pub fn fd(&self) -> i32 {
        match self {
            Datagrams::Udp(s, _) => s.as_raw_fd(),
            Datagrams::Unix(s, _) => s.as_raw_fd(),
        }
    }

    pub async fn send(&self, bytes: &[u8]) -> Result<(), Failure> {
        let sent = match self {
            Datagrams::Udp(s, _) => s.send(bytes).await,
            Datagrams::Unix(s, _) => s.send(bytes).await,
        };
        match sent {
            Ok(n) if n == bytes.len() => Ok(()),
            Ok(_) => Err(Failure { fatal: false, ..Failure::silent("partial write") }),
            Err(e) => Err(Failure::io("send", &e)),
        }
    }

    /// One datagram, cut to `size` bytes.
    pub async fn receive(&self, size: usize, ms: u64) -> Result<Vec<u8>, Failure> {
        let mut into = vec![0; size];
        let job = async {
            match self {
                Datagrams::Udp(s, _) => s.recv(&mut into).await,
                Datagrams::Unix(s, _) => s.recv(&mut into).await,
            }
        };
        let received = within(ms, job).await;
        match received {
            Some(Ok(n)) => {
                into.truncate(n);
                Ok(into)
            }
            Some(Err(e)) => Err(Failure::io("recv", &e)),
            None => Err(Failure::timeout("lua udp socket read timed out")),
        }
    }
}

/// Opens a socket and gives it its peer.
pub(crate) async fn open(target: &Target, names: &Names, local: Option<IpAddr>) -> Result<Datagrams, Failure> {
    let failed = |e: io::Error| Failure::io("connect", &e);
    match target {
        Target::Unix(path) => {
            let place = names.place()?;
            let socket = named().map_err(failed)?;
            socket.connect(path).map_err(failed)?;
            Ok(Datagrams::Unix(socket, place))
        }
        Target::Tcp { host, port } => {
            let Some(address) = resolve(host, *port, names).await?.into_iter().next() else {
                return Err(not_found(host));
            };
            let place = names.place()?;
            let any: IpAddr = match address {
                std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
                std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
            };
            let from = local.unwrap_or(any);
            let refused = |e: io::Error| Failure::at_once(&format!("bind({from}) "), &e);
            let socket = UdpSocket::bind((from, 0)).await.map_err(refused)?;
            socket.connect(address).await.map_err(failed)?;
            Ok(Datagrams::Udp(socket, place))
        }
    }
}

/// A socket with a name in the abstract space, so that its peer can answer.
fn named() -> io::Result<UnixDatagram> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram as Std};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let name = format!("perilune-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let socket = Std::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}
