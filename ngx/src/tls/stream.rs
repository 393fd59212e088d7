//! TLS over a stream, used through `&self` like the stream itself: by one who reads and one who writes at the same time.
//!
//! Nothing is borrowed across an await, and every step can be left out at any await: what was read is in the connection's buffers,
//! what is to be written stays in them.
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::HandshakeKind;
use rustls::client::ClientConnection;
use rustls::pki_types::CertificateDer;

use super::session::Session;
use super::suites;
use super::words::Fault;
use crate::cosocket::Outlet;
use crate::stream::Stream;

pub(crate) struct Tls {
    outlet: Rc<Outlet>,
    connection: RefCell<ClientConnection>,
    /// Bytes that are encrypted and not yet with the kernel, of those whose write is being repeated.
    accepted: Cell<usize>,
    session: Arc<Session>,
}

/// As much is encrypted at once: two records.
const AT_ONCE: usize = 32 * 1024;

/// Why a handshake did not come about.
#[derive(Debug)]
pub(crate) enum Broken {
    Fault(Fault),
    /// The peer went away; with the system's error if there was one.
    Gone(Option<io::Error>),
}

impl Tls {
    pub(super) fn new(outlet: Rc<Outlet>, connection: ClientConnection, session: Arc<Session>) -> Tls {
        Tls { outlet, connection: RefCell::new(connection), accepted: Cell::new(0), session }
    }
    pub fn stream(&self) -> &Stream {
        self.outlet.stream()
    }
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }
    /// The server's chain, its own certificate first; after the handshake.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.connection.borrow().peer_certificates().unwrap_or_default().to_vec()
    }
    /// The handshake made use of an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.connection.borrow().handshake_kind() == Some(HandshakeKind::Resumed)
    }
    /// `SSL: TLSv1.3, cipher: "..."`, for the debug log.
    pub fn description(&self) -> Option<String> {
        let suite = suites::described(self.connection.borrow().negotiated_cipher_suite()?)?;
        let version = if suite.is_modern() { "TLSv1.3" } else { "TLSv1.2" };
        Some(format!("SSL: {version}, cipher: \"{}\"", suite.description()))
    }

    pub async fn handshake(&self) -> Result<(), Broken> {
        loop {
            while let Err(e) = self.push() {
                match e.kind() {
                    io::ErrorKind::WouldBlock => self.stream().writable().await.map_err(broken)?,
                    _ => return Err(broken(e)),
                }
            }
            if !self.connection.borrow().is_handshaking() {
                return Ok(());
            }
            let read = std::future::poll_fn(|cx| self.poll_fill(cx)).await;
            match read {
                Ok(0) => return Err(Broken::Gone(None)),
                Ok(_) => {}
                Err(e) => {
                    // (the alert that says why, if it goes out at once)
                    let _ = self.push();
                    return Err(broken(e));
                }
            }
        }
    }

    /// How many bytes were read; 0: the end, whether the peer said goodbye or not.
    pub fn poll_read(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.connection.borrow_mut().reader().read(out) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(0)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
            let filled = ready!(self.poll_fill(cx));
            // (an answer to what came, if there is one: whatever does not go out now goes with the next write)
            let _ = self.push();
            filled?;
        }
    }

    /// Reads once from the stream and makes of it what there is to be made.
    fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut connection = self.connection.borrow_mut();
        match connection.read_tls(&mut From { outlet: &self.outlet, cx }) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(e) => Poll::Ready(Err(e)),
            Ok(count) => match connection.process_new_packets() {
                Ok(_) => Poll::Ready(Ok(count)),
                Err(error) => Poll::Ready(Err(io::Error::other(Fault::from(&error)))),
            },
        }
    }

    /// How many of the bytes the kernel took. As with SSL_write(3), whoever is told `WouldBlock` comes back with the same bytes.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.push()?;
        match self.accepted.take() {
            0 => {}
            accepted => return Ok(accepted),
        }
        let count = self.connection.borrow_mut().writer().write(&bytes[..bytes.len().min(AT_ONCE)])?;
        match self.push() {
            Ok(()) => Ok(count),
            Err(e) => {
                self.accepted.set(count);
                Err(e)
            }
        }
    }

    /// Gives the kernel what is encrypted already. `WouldBlock`: some of it is left.
    fn push(&self) -> io::Result<()> {
        let mut connection = self.connection.borrow_mut();
        while connection.wants_write() {
            connection.write_tls(&mut To(&self.outlet))?;
        }
        Ok(())
    }
}

/// Says goodbye, if that can be done at once.
impl Drop for Tls {
    fn drop(&mut self) {
        let mut connection = self.connection.borrow_mut();
        if !connection.is_handshaking() {
            connection.send_close_notify();
            drop(connection);
            let _ = self.push();
        }
    }
}

fn broken(e: io::Error) -> Broken {
    match e.get_ref().and_then(|inner| inner.downcast_ref::<Fault>()) {
        Some(fault) => Broken::Fault(fault.clone()),
        None => Broken::Gone(Some(e)),
    }
}

struct From<'s, 'c, 'w> {
    outlet: &'s Outlet,
    cx: &'c mut Context<'w>,
}

impl Read for From<'_, '_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.outlet.poll_read(self.cx, out) {
            Poll::Ready(read) => read,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

struct To<'s>(&'s Outlet);

impl Write for To<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
