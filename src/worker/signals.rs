//! The signals that steer the server, who sent them, and the words the log has for them.
//!
//! They are read from a descriptor (signalfd), which tells the sender; no handler of ours runs. For that they are blocked in every
//! thread: `catch` is called before there is a second one, and threads inherit it (programs that are started do not).

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::SignalKind;

/// What one asks for, as nginx's log names it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    Term,
    Int,
    Quit,
    Hup,
    Usr1,
    /// Caught like the next three, since they would end the process otherwise: nginx takes note of them and goes on.
    Usr2,
    Winch,
    Alrm,
    Io,
    /// A child process changed its state.
    Chld,
}

/// One that came.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    pub event: Event,
    /// The process that sent it; None: the kernel did, or one that cannot be seen from here.
    sender: Option<u32>,
}

impl Received {
    /// The log's line about it, with what follows from it.
    pub fn line(self, then: &str) -> String {
        let name = self.event.name();
        match self.sender {
            Some(pid) => format!("signal {name} received from {pid}{then}"),
            None => format!("signal {name} received{then}"),
        }
    }
}

const TABLE: [(Event, Signal, &str); 10] = [
    (Event::Term, Signal::SIGTERM, "15 (SIGTERM)"),
    (Event::Int, Signal::SIGINT, "2 (SIGINT)"),
    (Event::Quit, Signal::SIGQUIT, "3 (SIGQUIT)"),
    (Event::Hup, Signal::SIGHUP, "1 (SIGHUP)"),
    (Event::Usr1, Signal::SIGUSR1, "10 (SIGUSR1)"),
    (Event::Usr2, Signal::SIGUSR2, "12 (SIGUSR2)"),
    (Event::Winch, Signal::SIGWINCH, "28 (SIGWINCH)"),
    (Event::Alrm, Signal::SIGALRM, "14 (SIGALRM)"),
    (Event::Io, Signal::SIGIO, "29 (SIGIO)"),
    (Event::Chld, Signal::SIGCHLD, "17 (SIGCHLD)"),
];

impl Event {
    /// `15 (SIGTERM)`
    fn name(self) -> &'static str {
        TABLE.iter().find(|(event, ..)| *event == self).map_or("", |(.., name)| name)
    }
}

pub struct Signals {
    /// (it is read as a pipe is)
    descriptor: Receiver,
    /// The runtime's own notice of children that ended, which it needs itself; None: they are told by the descriptor.
    children: Option<tokio::signal::unix::Signal>,
    /// Came while only a stop was waited for, each once.
    later: VecDeque<Received>,
}

impl Signals {
    /// From here on the signals are caught: before a port is open or a pid file tells of the process. Inside a runtime, in the
    /// only thread there is. `has_children`: the process has nothing but the children whose ends it is told here.
    pub fn catch(has_children: bool) -> io::Result<Signals> {
        let mut set = SigSet::empty();
        let ours = TABLE.iter().filter(|(event, ..)| *event != Event::Chld || has_children);
        ours.for_each(|(_, signal, _)| set.add(*signal));
        set.thread_block()?;
        let made = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let children = if has_children { None } else { Some(tokio::signal::unix::signal(SignalKind::child())?) };
        let descriptor = Receiver::from_owned_fd_unchecked(made.as_fd().try_clone_to_owned()?)?;
        Ok(Signals { descriptor, children, later: VecDeque::new() })
    }

    pub async fn next(&mut self) -> Received {
        if let Some(earlier) = self.later.pop_front() {
            return earlier;
        }
        self.arrive().await
    }

    /// A fast stop, which may follow a graceful one that takes too long.
    pub async fn stop(&mut self) {
        loop {
            let received = self.arrive().await;
            if matches!(received.event, Event::Term | Event::Int) {
                return;
            }
            if !self.later.iter().any(|known| known.event == received.event) {
                self.later.push_back(received);
            }
        }
    }

    async fn arrive(&mut self) -> Received {
        let descriptor = &self.descriptor;
        tokio::select! {
            received = read(descriptor) => received,
            () = child(&mut self.children) => Received { event: Event::Chld, sender: None },
        }
    }
}

async fn read(descriptor: &Receiver) -> Received {
    loop {
        // struct signalfd_siginfo: the signal's number first, its sender's process id at 12, both 32 bits.
        let mut info = [0; 128];
        if descriptor.readable().await.is_err() {
            return std::future::pending().await;
        }
        let Ok(128) = descriptor.try_read(&mut info) else { continue };
        let word = |at: usize| u32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
        let known = TABLE.iter().find(|(_, signal, _)| u32::try_from(*signal as i32) == Ok(word(0)));
        if let Some((event, ..)) = known {
            return Received { event: *event, sender: Some(word(12)).filter(|pid| *pid != 0) };
        }
    }
}

async fn child(children: &mut Option<tokio::signal::unix::Signal>) {
    match children {
        Some(children) => drop(children.recv().await),
        None => std::future::pending().await,
    }
}
