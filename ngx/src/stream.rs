//! A connected stream socket, TCP or unix, as two halves that are used through `&self`: by whoever waits on it and whoever looks.
//!
//! Reads go through the halves' own `poll_read`: unlike `try_read`, that one knows after a read that did not fill the buffer that
//! nothing more is there, and saves the system call that would say so.
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

use crate::places::Place;

pub struct Stream {
    kind: Kind,
    /// Among the worker's connections.
    _place: Option<Place>,
}

enum Kind {
    Tcp(RefCell<tcp::OwnedReadHalf>, tcp::OwnedWriteHalf),
    Unix(RefCell<unix::OwnedReadHalf>, unix::OwnedWriteHalf),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Stream {
        let (read, write) = stream.into_split();
        Stream { kind: Kind::Tcp(RefCell::new(read), write), _place: None }
    }
}
impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Stream {
        let (read, write) = stream.into_split();
        Stream { kind: Kind::Unix(RefCell::new(read), write), _place: None }
    }
}

macro_rules! either {
    ($self:expr, $stream:ident => $do:expr) => {
        match &$self.kind {
            Kind::Tcp(_, $stream) => $do,
            Kind::Unix(_, $stream) => $do,
        }
    };
}

/// Reads into a buffer that all of a thread's sockets share, and appends what came: an idle connection needs no room of its own,
/// and none has to be zeroed for each read. `room`: how much one read takes at most.
pub fn gather(
    out: &mut Vec<u8>,
    room: usize,
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    thread_local!(static SHARED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    SHARED.with_borrow_mut(|shared| {
        if shared.len() < room {
            shared.resize(room, 0);
        }
        let read = read(&mut shared[..room]);
        if let Poll::Ready(Ok(count)) = &read {
            out.extend_from_slice(&shared[..*count]);
        }
        read
    })
}

impl Stream {
    /// With the place it takes until it is closed.
    pub fn at(mut self, place: Place) -> Stream {
        self._place = Some(place);
        self
    }
    /// How many bytes were read; 0: the end.
    pub fn poll_read(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut out = ReadBuf::new(out);
        let polled = match &self.kind {
            Kind::Tcp(read, _) => Pin::new(&mut *read.borrow_mut()).poll_read(cx, &mut out),
            Kind::Unix(read, _) => Pin::new(&mut *read.borrow_mut()).poll_read(cx, &mut out),
        };
        polled.map_ok(|()| out.filled().len())
    }
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, stream => stream.as_ref().as_fd())
    }
    /// The socket's number, for the debug log.
    pub fn fd(&self) -> i32 {
        either!(self, stream => stream.as_ref().as_raw_fd())
    }
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, stream => stream.try_write(bytes))
    }
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self, stream => stream.try_write_vectored(bufs))
    }
    pub async fn writable(&self) -> io::Result<()> {
        either!(self, stream => stream.writable().await)
    }
    /// Writes by some other system call on the socket: `WouldBlock` means that `writable` is to be awaited.
    pub fn try_write_by<T>(&self, mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        either!(self, stream => {
            let socket = stream.as_ref();
            socket.try_io(Interest::WRITABLE, || call(socket.as_fd()))
        })
    }
    /// Ends our direction; what was written still arrives.
    pub fn shutdown_write(&self) {
        // (a socket that is gone needs no shutting down)
        let _ = either!(self, stream => socket2::SockRef::from(stream.as_ref()).shutdown(std::net::Shutdown::Write));
    }

    /// Resolves when the peer has closed its side or the connection broke, whatever lies unread before that.
    pub async fn closed(&self) {
        // A readiness that stays (unread bytes) would spin: look again at human intervals then.
        loop {
            match either!(self, stream => stream.as_ref().ready(Interest::READABLE).await) {
                Ok(ready) if !ready.is_read_closed() && !ready.is_error() => {
                    crate::alarm::sleep(std::time::Duration::from_millis(50)).await;
                }
                _ => return,
            }
        }
    }

    /// Reads and forgets until the peer closes: closing first would make the kernel reset the connection and with it the
    /// response that may not have been read yet.
    pub async fn linger(&self, until: std::time::Duration) {
        let drain = async {
            // (not on the stack: it would be part of every connection's task)
            let mut sink = vec![0; 4096];
            loop {
                match std::future::poll_fn(|cx| self.poll_read(cx, &mut sink)).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        let _ = crate::alarm::within(until, drain).await;
    }
}
