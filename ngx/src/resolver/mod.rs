//! Names to addresses: the name servers of the `resolver` directive, asked over UDP (TCP for what does not fit), and what they
//! said kept for as long as it holds.
//!
//! Whoever asks for a name that is being asked for already waits for that answer.
mod message;

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::alarm::{Alarm, within};
use crate::log::{Level, Log};
use message::{Answer, Kind};

/// The `resolver` directive.
#[derive(Debug, Default)]
pub struct Servers {
    pub addresses: Vec<SocketAddr>,
    /// `ipv6=off`, `ipv4=off`.
    pub without_ipv6: bool,
    pub without_ipv4: bool,
    /// `valid=`: seconds that an answer holds, whatever it says.
    pub valid: Option<u64>,
}

/// Why a name has no address: nginx's number and words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unresolved(u16);

impl Unresolved {
    const NOT_FOUND: Unresolved = Unresolved(3);
    const TIMED_OUT: Unresolved = Unresolved(110);

    /// `(3: Host not found)`.
    pub fn words(self) -> String {
        let text = match self.0 {
            1 => "Format error",
            2 => "Server failure",
            3 => "Host not found",
            4 => "Unimplemented",
            5 => "Operation refused",
            110 => "Operation timed out",
            _ => "Unknown error",
        };
        format!("({}: {text})", self.0)
    }
}

type Found = Result<Rc<[IpAddr]>, Unresolved>;

/// One worker's knowledge of names.
pub(crate) struct Resolver {
    log: Rc<dyn Log>,
    known: RefCell<AHashMap<Key, (Rc<[IpAddr]>, Instant)>>,
    asking: RefCell<AHashMap<Key, Rc<Flight>>>,
    next: Cell<usize>,
    random: RandomState,
}

/// Which servers were asked (by address of their list), and the name in lower case.
type Key = (usize, Vec<u8>);

#[derive(Default)]
struct Flight {
    done: Notify,
    found: RefCell<Option<Found>>,
}

/// What lifetimes are counted from.
fn now() -> Instant {
    crate::now::instant().into()
}

/// Names that are kept; when there are more, the old ones go.
const KEPT: usize = 4096;
/// How long one server has to answer before the next one is asked.
const RESEND: Duration = Duration::from_secs(5);
/// How much later than the IPv4 addresses of a name the others may come.
const PATIENCE: Duration = Duration::from_millis(50);
/// The longest answer that comes in one datagram.
const DATAGRAM: usize = 1500;

impl Resolver {
    pub fn new(log: Rc<dyn Log>) -> Resolver {
        Resolver {
            log,
            known: RefCell::default(),
            asking: RefCell::default(),
            next: Cell::new(0),
            random: RandomState::new(),
        }
    }

    /// The addresses of a name, in `ms` milliseconds at most.
    pub async fn resolve(&self, servers: &Arc<Servers>, name: &str, ms: u64) -> Found {
        let key: Key = (Arc::as_ptr(servers).addr(), name.to_ascii_lowercase().into_bytes());
        let mut late = crate::alarm::sleep(Duration::from_millis(ms));
        loop {
            if let Some((addresses, end)) = self.known.borrow().get(&key)
                && *end > now()
            {
                return Ok(addresses.clone());
            }
            let flight = self.asking.borrow().get(&key).cloned();
            match flight {
                Some(flight) => {
                    tokio::select! {
                        biased;
                        () = flight.done.notified() => {}
                        () = &mut late => return Err(Unresolved::TIMED_OUT),
                    }
                    // (none: who asked gave up, and the next one asks)
                    let found = flight.found.borrow().clone();
                    if let Some(found) = found {
                        return found;
                    }
                }
                None => {
                    let asking = Asking::new(self, key.clone());
                    let found = tokio::select! {
                        biased;
                        found = self.ask(servers, &key.1) => found,
                        () = &mut late => Err(Unresolved::TIMED_OUT),
                    };
                    return asking.done(found);
                }
            }
        }
    }

    /// Asks for all kinds of addresses: the ones for IPv4 come first.
    async fn ask(&self, servers: &Servers, name: &[u8]) -> Result<(Vec<IpAddr>, u64), Unresolved> {
        let of = |kind, off: bool| async move {
            if off { Err(Unresolved::NOT_FOUND) } else { self.ask_for(servers, name, kind).await }
        };
        let (four, six) = together(of(Kind::A, servers.without_ipv4), of(Kind::Aaaa, servers.without_ipv6)).await;
        let (addresses, seconds) = match (four, six) {
            (Ok((mut four, a)), Ok((six, b))) => {
                four.extend(six);
                (four, a.min(b))
            }
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => one,
            (Err(e), Err(other)) => return Err(if e == Unresolved::NOT_FOUND { other } else { e }),
        };
        Ok((addresses, servers.valid.unwrap_or(seconds.into())))
    }

    /// One question, until a server answers it.
    async fn ask_for(&self, servers: &Servers, name: &[u8], kind: Kind) -> Result<(Vec<IpAddr>, u32), Unresolved> {
        let first = self.next.replace(self.next.get().wrapping_add(1));
        for turn in 0.. {
            let count = servers.addresses.len().max(1);
            let Some(server) = servers.addresses.get((first.wrapping_add(turn)) % count) else { break };
            let mut hasher = self.random.build_hasher();
            hasher.write_usize(first.wrapping_add(turn));
            hasher.write(name);
            hasher.write_u64(Instant::now().elapsed().as_nanos() as u64 ^ std::ptr::from_ref(&hasher).addr() as u64);
            let id = hasher.finish() as u16;
            let Some(question) = message::question(id, name, kind) else { break };
            let asked = now();
            let answer = within(RESEND, exchange(*server, &question, kind)).await;
            match answer {
                Some(Ok(Answer::Addresses(found, seconds))) => return Ok((found, seconds)),
                Some(Ok(Answer::Refused(code))) => return Err(Unresolved(code)),
                Some(Ok(_)) | None => {}
                Some(Err((call, e))) => {
                    let number = e.raw_os_error().unwrap_or(0);
                    // nginx takes a datagram that cannot even be sent for a fault of the machine.
                    let level = if call == "send" { Level::Alert } else { Level::Error };
                    let text = stdlib::io_error(&e);
                    let words = format!("{call}() failed ({number}: {text}) while resolving, resolver: {server}");
                    if self.log.enabled(level) {
                        self.log.write(level, words.as_bytes(), None);
                    }
                    Alarm::at(asked + RESEND).await;
                }
            }
        }
        Err(Unresolved::NOT_FOUND)
    }
}

type Answered = Result<(Vec<IpAddr>, u32), Unresolved>;

/// Both answers. Whoever has an IPv4 address does not wait long for an IPv6 one (RFC 8305, 3).
async fn together(four: impl Future<Output = Answered>, six: impl Future<Output = Answered>) -> (Answered, Answered) {
    tokio::pin!(four, six);
    tokio::select! {
        four = &mut four => {
            let six = match &four {
                Ok(_) => within(PATIENCE, six).await.unwrap_or(Err(Unresolved::TIMED_OUT)),
                Err(_) => six.await,
            };
            (four, six)
        }
        six = &mut six => (four.await, six),
    }
}

/// Sends a question and waits for its answer; what else comes is ignored. Err: which call failed.
async fn exchange(server: SocketAddr, question: &[u8], kind: Kind) -> Result<Answer, (&'static str, io::Error)> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await.map_err(|e| ("bind", e))?;
    socket.connect(server).await.map_err(|e| ("connect", e))?;
    socket.send(question).await.map_err(|e| ("send", e))?;
    let mut into = [0; DATAGRAM];
    loop {
        let count = socket.recv(&mut into).await.map_err(|e| ("recv", e))?;
        match message::answer(&into[..count], question, kind) {
            Answer::Unrelated => {}
            Answer::Truncated => return by_stream(server, question, kind).await.map_err(|e| ("connect", e)),
            answer => return Ok(answer),
        }
    }
}

async fn by_stream(server: SocketAddr, question: &[u8], kind: Kind) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).unwrap_or(0).to_be_bytes();
    stream.write_all(&[&length, question].concat()).await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).await?;
    Ok(message::answer(&answer, question, kind))
}

/// A question under way; dropping it lets somebody else ask.
struct Asking<'a> {
    resolver: &'a Resolver,
    key: Key,
    flight: Rc<Flight>,
}

impl Asking<'_> {
    fn new(resolver: &Resolver, key: Key) -> Asking<'_> {
        let flight = Rc::new(Flight::default());
        resolver.asking.borrow_mut().insert(key.clone(), flight.clone());
        Asking { resolver, key, flight }
    }
    fn done(self, found: Result<(Vec<IpAddr>, u64), Unresolved>) -> Found {
        let found = found.map(|(addresses, seconds)| {
            let addresses: Rc<[IpAddr]> = addresses.into();
            let mut known = self.resolver.known.borrow_mut();
            if known.len() >= KEPT {
                let now = now();
                known.retain(|_, (_, end)| *end > now);
                if known.len() >= KEPT {
                    known.clear();
                }
            }
            // (a year is as good as for ever)
            let end = now() + Duration::from_secs(seconds.min(365 * 86400));
            known.insert(self.key.clone(), (addresses.clone(), end));
            addresses
        });
        *self.flight.found.borrow_mut() = Some(found.clone());
        found
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.resolver.asking.borrow_mut().remove(&self.key);
        self.flight.done.notify_waiters();
        if self.resolver.log.enabled(Level::Debug) {
            self.resolver.log.write(Level::Debug, b"resolve name done", None);
        }
    }
}
