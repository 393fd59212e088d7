//! A client's socket, TCP or unix. All methods take `&self`: the connection, the request in service and whoever watches for the
//! client's end share one.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use tokio::net::{TcpStream, UnixStream};

pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! either {
    ($self:expr, $stream:ident => $do:expr) => {
        match $self {
            Stream::Tcp($stream) => $do,
            Stream::Unix($stream) => $do,
        }
    };
}

impl Stream {
    pub fn poll_read(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(either!(self, stream => stream.poll_read_ready(cx)))?;
            match either!(self, stream => stream.try_read(out)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Optimistic: most writes succeed at once.
    pub fn poll_write(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            ready!(either!(self, stream => stream.poll_write_ready(cx)))?;
            match either!(self, stream => stream.try_write_vectored(bufs)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    pub fn shutdown_write(&self) {
        let _ = either!(self, stream => rustix::net::shutdown(stream, rustix::net::Shutdown::Write));
    }

    /// Resolves when the client has closed its side or the connection broke, whatever lies unread before that.
    pub async fn closed(&self) {
        // A readiness that stays (unread bytes) would spin: look again at human intervals then.
        loop {
            match either!(self, stream => stream.ready(tokio::io::Interest::READABLE).await) {
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
