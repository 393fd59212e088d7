//! The signals that steer the server, and the words the log has for them.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// One that came, as nginx's log names it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    Term,
    Int,
    Quit,
    Hup,
    Usr1,
    Usr2,
    Winch,
    Alrm,
    Io,
    /// A child process changed its state.
    Chld,
}

impl Event {
    /// `15 (SIGTERM)`
    pub fn name(self) -> &'static str {
        match self {
            Event::Term => "15 (SIGTERM)",
            Event::Int => "2 (SIGINT)",
            Event::Quit => "3 (SIGQUIT)",
            Event::Hup => "1 (SIGHUP)",
            Event::Usr1 => "10 (SIGUSR1)",
            Event::Usr2 => "12 (SIGUSR2)",
            Event::Winch => "28 (SIGWINCH)",
            Event::Alrm => "14 (SIGALRM)",
            Event::Io => "29 (SIGIO)",
            Event::Chld => "17 (SIGCHLD)",
        }
    }
    /// The log's line about it, with what follows from it.
    pub fn line(self, then: &str) -> String {
        format!("signal {} received{then}", self.name())
    }
}

pub struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    usr1: Signal,
    winch: Signal,
    /// Caught, since they would end the process otherwise: nginx takes note of them and goes on.
    usr2: Signal,
    alrm: Signal,
    io: Signal,
    chld: Signal,
}

impl Signals {
    /// From here on the signals are caught: before a port is open or a pid file tells of the process. Inside a runtime.
    pub fn catch() -> std::io::Result<Signals> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            winch: signal(SignalKind::window_change())?,
            usr2: signal(SignalKind::user_defined2())?,
            alrm: signal(SignalKind::alarm())?,
            io: signal(SignalKind::io())?,
            chld: signal(SignalKind::child())?,
        })
    }

    pub async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.term.recv() => Event::Term,
            _ = self.int.recv() => Event::Int,
            _ = self.quit.recv() => Event::Quit,
            _ = self.hup.recv() => Event::Hup,
            _ = self.usr1.recv() => Event::Usr1,
            _ = self.usr2.recv() => Event::Usr2,
            _ = self.winch.recv() => Event::Winch,
            _ = self.alrm.recv() => Event::Alrm,
            _ = self.io.recv() => Event::Io,
            _ = self.chld.recv() => Event::Chld,
        }
    }

    /// A fast stop, which may follow a graceful one that takes too long.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
