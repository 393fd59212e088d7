//! A client's socket, TCP or unix. All methods take `&self`: the connection, the request in service and whoever watches for the
//! client's end share one.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

/// The halves of one socket. Reads go through the halves' own `poll_read`: unlike `try_read`, that one knows after a read that did
/// not fill the buffer that nothing more is there, and saves the system call that would say so.
pub enum Stream {
    Tcp(RefCell<tcp::OwnedReadHalf>, tcp::OwnedWriteHalf),
    Unix(RefCell<unix::OwnedReadHalf>, unix::OwnedWriteHalf),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Stream {
        let (read, write) = stream.into_split();
        Stream::Tcp(RefCell::new(read), write)
    }
}
impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Stream {
        let (read, write) = stream.into_split();
        Stream::Unix(RefCell::new(read), write)
    }
}

macro_rules! either {
    ($self:expr, $stream:ident => $do:expr) => {
        match $self {
            Stream::Tcp(_, $stream) => $do,
            Stream::Unix(_, $stream) => $do,
        }
    };
}

impl Stream {
    pub fn poll_read(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut out = ReadBuf::new(out);
        let polled = match self {
            Stream::Tcp(read, _) => Pin::new(&mut *read.borrow_mut()).poll_read(cx, &mut out),
            Stream::Unix(read, _) => Pin::new(&mut *read.borrow_mut()).poll_read(cx, &mut out),
        };
        polled.map_ok(|()| out.filled().len())
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

    pub fn shutdown_write(&self) {
        let _ = either!(self, stream => rustix::net::shutdown(stream.as_ref(), rustix::net::Shutdown::Write));
    }

    /// Resolves when the client has closed its side or the connection broke, whatever lies unread before that.
    pub async fn closed(&self) {
        // A readiness that stays (unread bytes) would spin: look again at human intervals then.
        loop {
            match either!(self, stream => stream.as_ref().ready(tokio::io::Interest::READABLE).await) {
                Ok(ready) if !ready.is_read_closed() && !ready.is_error() => {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
                _ => return,
            }
        }
    }

    /// Reads and forgets until the client closes: closing first would make the kernel reset the connection and with it the
    /// response that may not have been read yet.
    pub async fn linger(&self, until: std::time::Duration) {
        let drain = async {
            let mut sink = [0; 4096];
            loop {
                match std::future::poll_fn(|cx| self.poll_read(cx, &mut sink)).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        let _ = tokio::time::timeout(until, drain).await;
    }
}
