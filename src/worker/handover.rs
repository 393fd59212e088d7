//! What the parent hands to the serving process over the socket between them: the configuration's files as they were read, and
//! open files and sockets, which the server could not open any more once it has given up its rights.
//!
//! A message is its length, its bytes, and then one byte for each descriptor, which carries it. The answer is one byte.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// For the server.
pub enum Message {
    /// A configuration to serve from now on: its files, the log files in its order, and the sockets of its addresses.
    Serve { files: Vec<(PathBuf, Vec<u8>)>, logs: Vec<OwnedFd>, sockets: Vec<Vec<OwnedFd>> },
    /// The log files of the configuration in service, opened anew.
    Logs(Vec<OwnedFd>),
}

/// How the server answers.
pub const READY: u8 = b'+';
pub const REFUSED: u8 = b'-';

/// Messages are our own, so a longer one is a mistake.
const LARGEST: usize = 256 << 20;

impl Message {
    fn encode(&self) -> (Vec<u8>, Vec<BorrowedFd<'_>>) {
        let (mut out, mut descriptors) = (Vec::new(), Vec::new());
        let number = |out: &mut Vec<u8>, n: usize| out.extend_from_slice(&(n as u64).to_le_bytes());
        let bytes = |out: &mut Vec<u8>, text: &[u8]| {
            number(out, text.len());
            out.extend_from_slice(text);
        };
        match self {
            Message::Serve { files, logs, sockets } => {
                out.push(b'S');
                number(&mut out, files.len());
                for (path, text) in files {
                    bytes(&mut out, path.as_os_str().as_encoded_bytes());
                    bytes(&mut out, text);
                }
                number(&mut out, logs.len());
                descriptors.extend(logs.iter().map(AsFd::as_fd));
                number(&mut out, sockets.len());
                for same in sockets {
                    number(&mut out, same.len());
                    descriptors.extend(same.iter().map(AsFd::as_fd));
                }
            }
            Message::Logs(logs) => {
                out.push(b'L');
                number(&mut out, logs.len());
                descriptors.extend(logs.iter().map(AsFd::as_fd));
            }
        }
        (out, descriptors)
    }

    pub async fn send(&self, stream: &UnixStream) -> io::Result<()> {
        let (text, descriptors) = self.encode();
        let mut head = Vec::from((text.len() as u64).to_le_bytes());
        head.extend_from_slice(&(descriptors.len() as u64).to_le_bytes());
        head.extend_from_slice(&text);
        let mut rest = &head[..];
        while !rest.is_empty() {
            let sent = stream.async_io(Interest::WRITABLE, || stream.try_write(rest)).await?;
            rest = &rest[sent..];
        }
        for descriptor in descriptors {
            stream.async_io(Interest::WRITABLE, || carry(stream, descriptor)).await?;
        }
        Ok(())
    }

    /// The next message. An error: the other side is gone.
    pub async fn receive(stream: &UnixStream) -> io::Result<Message> {
        let length = number(&exactly(stream, 8).await?);
        let descriptors = number(&exactly(stream, 8).await?);
        if length > LARGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let text = exactly(stream, length).await?;
        let mut carried = Vec::new();
        for _ in 0..descriptors {
            carried.push(stream.async_io(Interest::READABLE, || take(stream)).await?);
        }
        decode(&text, carried).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// The server's answer.
pub async fn answer(stream: &UnixStream, byte: u8) -> io::Result<()> {
    stream.async_io(Interest::WRITABLE, || stream.try_write(&[byte])).await.map(drop)
}

/// Waits for the answer. An error: the server is gone.
pub async fn answered(stream: &UnixStream) -> io::Result<bool> {
    Ok(exactly(stream, 1).await? == [READY])
}

fn decode(text: &[u8], carried: Vec<OwnedFd>) -> Option<Message> {
    let (&kind, mut rest) = text.split_first()?;
    let mut carried = carried.into_iter();
    let count = |rest: &mut &[u8]| -> Option<usize> {
        let (head, tail) = rest.split_at_checked(8)?;
        *rest = tail;
        Some(number(head))
    };
    let bytes = |rest: &mut &[u8]| -> Option<Vec<u8>> {
        let length = count(rest)?;
        let (head, tail) = rest.split_at_checked(length)?;
        *rest = tail;
        Some(head.to_vec())
    };
    if kind == b'L' {
        return Some(Message::Logs(carried.collect()));
    }
    let mut files = Vec::new();
    for _ in 0..count(&mut rest)? {
        let name = bytes(&mut rest)?;
        let path = PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(name));
        files.push((path, bytes(&mut rest)?));
    }
    let logs = count(&mut rest)?;
    let logs: Vec<OwnedFd> = carried.by_ref().take(logs).collect();
    let mut sockets = Vec::new();
    for _ in 0..count(&mut rest)? {
        let same = count(&mut rest)?;
        sockets.push(carried.by_ref().take(same).collect());
    }
    Some(Message::Serve { files, logs, sockets })
}

fn number(bytes: &[u8]) -> usize {
    let bytes = bytes.try_into().unwrap_or([0xff; 8]);
    usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}

async fn exactly(stream: &UnixStream, count: usize) -> io::Result<Vec<u8>> {
    let mut out = vec![0; count];
    let mut done = 0;
    while done < count {
        let read = stream.async_io(Interest::READABLE, || stream.try_read(&mut out[done..])).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        done += read;
    }
    Ok(out)
}

/// One byte with a descriptor.
fn carry(stream: &UnixStream, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let one = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&one));
    rustix::net::sendmsg(stream, &[IoSlice::new(b"f")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn take(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message
            && let Some(descriptor) = descriptors.next()
        {
            return Ok(descriptor);
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
