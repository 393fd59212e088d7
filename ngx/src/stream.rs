//! A connected stream socket, TCP or unix, as two halves that are used through `&self`: by whoever waits on it and whoever looks.
//!
//! Reads go through the halves' own `poll_read`: unlike `try_read`, that one knows after a read that did not fill the buffer that
//! nothing more is there, and saves the system call that would say so.
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

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
    /// How many bytes were read; 0: the end.
    pub fn poll_read(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut out = ReadBuf::new(out);
        let polled = match self {
            Stream::Tcp(read, _) => Pin::new(&mut *read.borrow_mut()).poll_read(cx, &mut out),
            Stream::Unix(read, _) => Pin::new(&mut *read.borrow_mut()).poll_read(cx, &mut out),
        };
        polled.map_ok(|()| out.filled().len())
    }
    /// Nothing has come that was not read, not even the end.
    pub fn is_quiet(&self) -> bool {
        self.poll_read(&mut Context::from_waker(Waker::noop()), &mut [0]).is_pending()
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
    /// The socket, for its options; None for unix sockets.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Stream::Tcp(_, write) => Some(write.as_ref()),
            Stream::Unix(..) => None,
        }
    }
}
