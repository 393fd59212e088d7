//! The client's connection in Lua's hands: what `ngx.req.socket()` reads and writes.
//!
//! The bytes that were read ahead are taken from the wire's buffer; after them reads go straight into Lua's. What is left of a
//! body is known to the wire all the while, so that the connection can go on with the next request.
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use ngx::request::{Downstream, Local};

use super::wire::Wire;

/// The request body, as far as it has not been read.
pub struct Body(pub Rc<Wire>);

/// Everything the client sends, and the way back.
pub struct Raw {
    pub wire: Rc<Wire>,
    /// The client's end is an abort (lua_check_client_abort), not just an end.
    pub strict: bool,
}

fn aborted() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

impl Downstream for Body {
    fn poll_read(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.0.poll_body(cx, out) {
            Poll::Ready(Ok(0)) if self.0.body_left() => Poll::Ready(Err(aborted())),
            polled => polled,
        }
    }
    fn try_write(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn writable<'a>(&'a self) -> Local<'a, io::Result<()>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }
}

impl Downstream for Raw {
    fn poll_read(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.wire.poll_raw(cx, out) {
            Poll::Ready(Ok(0)) if self.strict => Poll::Ready(Err(aborted())),
            polled => polled,
        }
    }
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.wire.stream.try_write(bytes)
    }
    fn writable<'a>(&'a self) -> Local<'a, io::Result<()>> {
        Box::pin(self.wire.stream.writable())
    }
}
