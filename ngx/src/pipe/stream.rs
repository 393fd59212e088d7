//! The pipes to and from a program: one reader or writer at a time, with a time limit, cut off by a shutdown.
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::Notify;

use crate::cosocket::{Pattern, within};

/// Why a read or a write ended early.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Broken {
    Closed,
    /// Shut down by another light thread.
    Aborted,
    Timeout,
    Io(String),
}

impl Broken {
    pub fn words(&self) -> &str {
        match self {
            Broken::Closed => "closed",
            Broken::Aborted => "aborted",
            Broken::Timeout => "timeout",
            Broken::Io(words) => words,
        }
    }
    fn io(error: &io::Error) -> Broken {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Broken::Closed,
            _ => Broken::Io(stdlib::io_error(error)),
        }
    }
}

/// What both directions have: the pipe until it is shut, and who uses it.
struct End<P> {
    pipe: RefCell<Option<Rc<P>>>,
    busy: Cell<bool>,
    /// Why it was shut down while somebody used it.
    cut: RefCell<Option<Broken>>,
    told: Notify,
    /// Milliseconds; 0: for ever.
    timeout: Cell<u64>,
}

impl<P> End<P> {
    fn new(pipe: P) -> End<P> {
        End {
            pipe: RefCell::new(Some(Rc::new(pipe))),
            busy: Cell::new(false),
            cut: RefCell::default(),
            told: Notify::new(),
            timeout: Cell::new(0),
        }
    }
    fn shutdown(&self, why: Broken) {
        if self.pipe.take().is_some() && self.busy.get() {
            self.cut.replace(Some(why));
            self.told.notify_waiters();
        }
    }
    /// Resolves when it was shut down.
    async fn cut(&self) -> Broken {
        loop {
            let told = self.told.notified();
            if let Some(why) = self.cut.take() {
                return why;
            }
            told.await;
        }
    }
    /// Whichever comes first: the job's result, a shutdown, the end of the time.
    async fn guard<T>(&self, job: impl Future<Output = Result<T, Broken>>) -> Result<T, Broken> {
        let either = async {
            tokio::select! {
                biased;
                why = self.cut() => Err(why),
                done = job => done,
            }
        };
        within(self.timeout.get(), either).await.unwrap_or(Err(Broken::Timeout))
    }
}

/// The program's stdin.
pub(crate) struct Input(End<Sender>);

impl Input {
    pub fn new(pipe: Sender) -> Input {
        Input(End::new(pipe))
    }
    pub fn set_timeout(&self, ms: u64) {
        self.0.timeout.set(ms);
    }
    pub fn shutdown(&self, why: Broken) {
        self.0.shutdown(why);
    }
    pub fn is_open(&self) -> bool {
        self.0.pipe.borrow().is_some()
    }
    /// Takes the only place for a writer.
    pub fn begin(&self) -> bool {
        !self.0.busy.replace(true)
    }
    /// Gives it back.
    pub fn end(&self) {
        self.0.busy.set(false);
        self.0.cut.take();
    }
    pub async fn write(&self, bytes: &[u8]) -> Result<(), Broken> {
        let pipe = self.0.pipe.borrow().clone();
        let job = async {
            let pipe = pipe.ok_or(Broken::Closed)?;
            let mut rest = bytes;
            while !rest.is_empty() {
                pipe.writable().await.map_err(|error| Broken::io(&error))?;
                match pipe.try_write(rest) {
                    Ok(n) => rest = &rest[n..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(Broken::io(&error)),
                }
            }
            Ok(())
        };
        self.0.guard(job).await
    }
}

/// The program's stdout or stderr.
pub(crate) struct Output {
    end: End<Receiver>,
    buffer: RefCell<Vec<u8>>,
    chunk: usize,
}

impl Output {
    pub fn new(pipe: Receiver, chunk: usize) -> Output {
        Output { end: End::new(pipe), buffer: RefCell::default(), chunk: chunk.clamp(1, MAX_CHUNK) }
    }
    pub fn set_timeout(&self, ms: u64) {
        self.end.timeout.set(ms);
    }
    pub fn shutdown(&self, why: Broken) {
        self.end.shutdown(why);
        self.buffer.take();
    }
    pub fn is_open(&self) -> bool {
        self.end.pipe.borrow().is_some()
    }
    pub fn begin(&self) -> bool {
        !self.end.busy.replace(true)
    }
    pub fn end(&self) {
        self.end.busy.set(false);
        self.end.cut.take();
    }
    /// The error comes with what was read until then.
    pub async fn read(&self, pattern: &Pattern) -> Result<Vec<u8>, (Broken, Vec<u8>)> {
        let pipe = self.end.pipe.borrow().clone();
        let job = async {
            let pipe = pipe.ok_or(Broken::Closed)?;
            loop {
                if let Some(bytes) = self.ready(pattern) {
                    return Ok(bytes);
                }
                pipe.readable().await.map_err(|error| Broken::io(&error))?;
                let mut chunk = vec![0; self.chunk];
                match pipe.try_read(&mut chunk) {
                    Ok(0) if matches!(pattern, Pattern::All) => return Ok(self.buffer.take()),
                    Ok(0) => return Err(Broken::Closed),
                    Ok(n) => self.buffer.borrow_mut().extend_from_slice(&chunk[..n]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(Broken::io(&error)),
                }
            }
        };
        self.end.guard(job).await.map_err(|broken| (broken, self.buffer.take()))
    }

    fn ready(&self, pattern: &Pattern) -> Option<Vec<u8>> {
        let mut buffer = self.buffer.borrow_mut();
        match pattern {
            Pattern::Line => {
                let at = memchr::memchr(b'\n', &buffer)?;
                let mut line: Vec<u8> = buffer.drain(..=at).collect();
                line.pop();
                line.retain(|c| *c != b'\r');
                Some(line)
            }
            Pattern::Count(want) if buffer.len() >= *want => Some(buffer.drain(..*want).collect()),
            Pattern::Any(max) if !buffer.is_empty() => {
                let n = buffer.len().min(*max);
                Some(buffer.drain(..n).collect())
            }
            _ => None,
        }
    }
}

/// What is read at once, whatever the option says.
const MAX_CHUNK: usize = 1 << 20;
