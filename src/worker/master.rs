//! The parent process of `master_process on`: small, and with the rights of whoever started it. It reads configurations, opens
//! listening sockets and logs, keeps the pid file, takes the signals, and supervises the one serving process, which is the same
//! program executed again and gets all that over a socket. When the server dies, another takes its place; the listening
//! sockets stay open meanwhile, so that clients wait instead of being refused.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as Socket;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use ngx::log::Level;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::handover::{self, Message};
use super::listen::Sockets;
use super::pid::PidFile;
use super::server::{introduce, open, refuse};
use super::signals::{Event, Signals};
use super::{daemon, environment, user};
use crate::conf::tree::Main;
use crate::conf::{self, Origin};
use crate::log::{self, Plain};

/// Set in the server's environment: its standard input is the socket to the parent.
const MARK: &str = "PERILUNE_SERVER";
/// A server that cannot start is tried again after that long.
const PAUSE: Duration = Duration::from_secs(1);
/// A server that does not end after a fast stop is killed after that long.
const PATIENCE: Duration = Duration::from_secs(1);

/// In the serving process: the way to its parent. None: there is none.
pub fn parent() -> Option<Socket> {
    std::env::var_os(MARK)?;
    let stream = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
    let null = std::fs::File::open("/dev/null").ok()?;
    rustix::stdio::dup2_stdin(null.as_fd()).ok()?;
    Some(Socket::from(stream))
}

struct Master<'a> {
    origin: &'a Origin,
    main: Arc<Main>,
    sockets: Vec<Arc<Sockets>>,
    pid: PidFile,
    server: Option<Server>,
    /// Those that another has replaced, until their last request is over.
    old: Vec<Server>,
    /// When to try again to start a server.
    retry: Option<Instant>,
    /// WINCH: the server ends, and none follows until HUP.
    resting: bool,
}

struct Server {
    child: Child,
    stream: UnixStream,
}

/// How the start of a server, or its change to another configuration, went.
#[derive(PartialEq)]
enum Outcome {
    Ready,
    Refused,
    /// A signal said to stop before it was over.
    Stop,
}

/// Serves until a signal ends it.
pub fn run(origin: &Origin, main: Main) -> ExitCode {
    let main = Arc::new(main);
    let plain = Plain::of(&main);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&plain, &format!("cannot make a runtime: {error}")),
    };
    runtime.block_on(async {
        let mut signals = match Signals::catch(true) {
            Ok(signals) => signals,
            Err(error) => return refuse(&plain, &format!("cannot catch signals: {error}")),
        };
        let Some(sockets) = open(&main, &[], &plain) else { return ExitCode::FAILURE };
        let pid = match PidFile::write(&main.pid) {
            Ok(pid) => pid,
            Err(error) => return refuse(&plain, &error),
        };
        introduce(&main);
        make_directories(&main);
        let mut master =
            Master { origin, main, sockets, pid, server: None, old: Vec::new(), retry: None, resting: false };
        plain.say(Level::Notice, "start worker processes");
        match master.start(&mut signals).await {
            Outcome::Ready => {}
            // (somebody else ended it: another will start)
            Outcome::Refused if master.was_killed() => {}
            _ => {
                master.kill(Event::Term);
                return ExitCode::FAILURE;
            }
        }
        if daemon::is_child() {
            daemon::ready();
        }
        master.follow(signals).await;
        ExitCode::SUCCESS
    })
}

/// What the server could not make, or not write to, once it has given up its rights.
fn make_directories(main: &Main) {
    let default = main.prefix.join("client_body_temp");
    let Some(user) = main.user.as_ref().filter(|_| user::is_root()) else { return };
    for path in main.temp_paths.iter().chain([&default]) {
        // (what cannot be made is said when a request needs it)
        if std::fs::create_dir_all(path).is_ok() {
            let _ = user.give(path);
        }
    }
}

impl Master<'_> {
    fn plain(&self) -> Plain {
        Plain::of(&self.main)
    }

    async fn follow(mut self, mut signals: Signals) {
        loop {
            let received = tokio::select! {
                received = signals.next() => received,
                () = until(self.retry) => {
                    self.retry = None;
                    let outcome = self.start(&mut signals).await;
                    if outcome == Outcome::Stop {
                        return self.end(Event::Term, signals).await;
                    }
                    continue;
                }
            };
            let event = received.event;
            let then = match event {
                Event::Quit => ", shutting down",
                Event::Term | Event::Int => ", exiting",
                Event::Hup => ", reconfiguring",
                Event::Usr1 => ", reopening logs",
                Event::Winch if daemon::is_child() => ", stop accepting connections",
                Event::Usr2 | Event::Winch => ", ignoring",
                Event::Alrm | Event::Io | Event::Chld => "",
            };
            self.plain().say(Level::Notice, &received.line(then));
            match event {
                Event::Quit | Event::Term | Event::Int => return self.end(event, signals).await,
                Event::Hup => {
                    let outcome = self.reload(&mut signals).await;
                    if outcome == Outcome::Stop {
                        return self.end(Event::Term, signals).await;
                    }
                }
                Event::Usr1 => self.reopen().await,
                Event::Winch if daemon::is_child() => {
                    self.resting = true;
                    self.kill(Event::Quit);
                }
                // (one that is to be tried again later is not tried at once)
                Event::Chld if self.reap() && !self.resting && self.retry.is_none() => {
                    let outcome = self.start(&mut signals).await;
                    if outcome == Outcome::Stop {
                        return self.end(Event::Term, signals).await;
                    }
                }
                _ => {}
            }
        }
    }

    /// A server for the configuration as it is. If that fails, it is tried again later.
    async fn start(&mut self, signals: &mut Signals) -> Outcome {
        let outcome = match self.execute() {
            Ok(server) => {
                self.plain().say(Level::Notice, &format!("start worker process {}", server.child.id()));
                self.server = Some(server);
                let (main, sockets) = (self.main.clone(), self.sockets.clone());
                self.hand_over(&main, &sockets, signals).await
            }
            Err(error) => {
                self.plain().say(Level::Alert, &format!("cannot start the worker process {}", conf::os_error(&error)));
                Outcome::Refused
            }
        };
        if outcome == Outcome::Refused {
            self.retry = Some(Instant::now() + PAUSE);
        }
        outcome
    }

    fn execute(&self) -> std::io::Result<Server> {
        let (ours, theirs) = Socket::pair()?;
        ours.set_nonblocking(true)?;
        // (the file itself, even if another has taken its name)
        let child = Command::new("/proc/self/exe")
            .arg0("perilune: worker process")
            .args(std::env::args_os().skip(1))
            .env_clear()
            .envs(environment::of(&self.main))
            .env(MARK, "1")
            .stdin(OwnedFd::from(theirs))
            .spawn()?;
        Ok(Server { child, stream: UnixStream::from_std(ours)? })
    }

    /// Tells the server what to serve, and waits until it does, or says no, or ends.
    async fn hand_over(&self, main: &Main, sockets: &[Arc<Sockets>], signals: &mut Signals) -> Outcome {
        let Some(server) = &self.server else { return Outcome::Refused };
        let talk = async {
            let message = Message::Serve {
                files: main.files.iter().chain(&main.material).cloned().collect(),
                logs: log::copy_all(&main.log_files)?,
                sockets: sockets.iter().map(|sockets| sockets.copies()).collect::<std::io::Result<_>>()?,
            };
            message.send(&server.stream).await?;
            handover::answered(&server.stream).await
        };
        tokio::select! {
            answer = talk => if matches!(answer, Ok(true)) { Outcome::Ready } else { Outcome::Refused },
            () = signals.stop() => Outcome::Stop,
        }
    }

    /// Another configuration, or everything as it was.
    async fn reload(&mut self, signals: &mut Signals) -> Outcome {
        let plain = self.plain();
        let mut notes = Vec::new();
        let loaded = conf::load(self.origin, &mut notes);
        notes.iter().for_each(|(level, text)| plain.say(*level, text));
        let main = match loaded.and_then(|main| log::open_all(&main.log_files).map(|()| main)) {
            Ok(main) => Arc::new(main),
            Err(error) => {
                plain.say(Level::Emerg, &error);
                return Outcome::Refused;
            }
        };
        let Some(next) = open(&main, &self.sockets, &plain) else { return Outcome::Refused };
        make_directories(&main);
        let outcome = match &self.server {
            // A server that other rights or limits are wanted of cannot get them, and one that rests is gone.
            Some(_) if !self.resting && self.same_process(&main) => self.hand_over(&main, &next, signals).await,
            _ => return self.replace(main, next, signals).await,
        };
        if outcome == Outcome::Ready {
            self.adopt(main, next);
        }
        outcome
    }

    /// What a process has for life.
    fn same_process(&self, main: &Main) -> bool {
        let traits = |main: &Main| {
            let limits = (main.worker_rlimit_nofile, main.worker_rlimit_core);
            (main.user.clone(), limits, main.working_directory.clone(), main.env.clone())
        };
        traits(&self.main) == traits(main)
    }

    fn adopt(&mut self, main: Arc<Main>, sockets: Vec<Arc<Sockets>>) {
        self.sockets = sockets;
        if *self.pid.path() != main.pid
            && let Ok(pid) = PidFile::write(&main.pid)
        {
            self.pid = pid;
        }
        self.main = main;
    }

    /// Another server beside the one there is, which ends with its last request.
    async fn replace(&mut self, main: Arc<Main>, sockets: Vec<Arc<Sockets>>, signals: &mut Signals) -> Outcome {
        let (before, resting) = (self.server.take(), std::mem::replace(&mut self.resting, false));
        let (old_main, old_sockets) = (self.main.clone(), self.sockets.clone());
        (self.main, self.sockets) = (main, sockets);
        let outcome = self.start(signals).await;
        if outcome == Outcome::Ready {
            let (main, sockets) = (self.main.clone(), self.sockets.clone());
            self.adopt(main, sockets);
            if let Some(before) = before {
                signal(&before.child, rustix::process::Signal::QUIT);
                self.old.push(before);
            }
            return outcome;
        }
        self.kill(Event::Term);
        (self.main, self.sockets, self.server) = (old_main, old_sockets, before);
        self.retry = None;
        self.resting = resting;
        outcome
    }

    async fn reopen(&mut self) {
        if let Err(error) = log::open_all(&self.main.log_files) {
            self.plain().say(Level::Emerg, &error);
        }
        if let Some(user) = self.main.user.as_ref().filter(|_| user::is_root()) {
            self.main.log_files.iter().filter_map(|file| file.path()).for_each(|path| drop(user.give(path)));
        }
        let Some(server) = &self.server else { return };
        if let Ok(files) = log::copy_all(&self.main.log_files) {
            // (a server that is gone gets them at its start)
            let _ = Message::Logs(files).send(&server.stream).await;
        }
    }

    /// Whether the server, which has ended or is about to, ends by a signal.
    fn was_killed(&mut self) -> bool {
        let status = self.server.as_mut().and_then(|server| server.child.wait().ok());
        status.is_some_and(|status| status.signal().is_some())
    }

    /// Whether the server has ended; says how, and how its predecessors did.
    fn reap(&mut self) -> bool {
        let plain = self.plain();
        self.old.retain_mut(|server| !server.has_ended(&plain));
        let ended = self.server.as_mut().is_some_and(|server| server.has_ended(&plain));
        if ended {
            self.server = None;
        }
        ended
    }

    fn kill(&self, event: Event) {
        if let Some(server) = &self.server {
            server.told(event);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Server> {
        self.old.iter().chain(&self.server)
    }

    /// The same with those that finish their last requests.
    fn kill_all(&self, event: Event) {
        self.all().for_each(|server| server.told(event));
    }

    async fn end(mut self, event: Event, mut signals: Signals) {
        // The port is free for a successor from here on.
        self.sockets.clear();
        self.kill_all(event);
        let mut last = (event != Event::Quit).then(|| Instant::now() + PATIENCE);
        while self.server.is_some() || !self.old.is_empty() {
            let received = tokio::select! {
                received = signals.next() => received,
                () = until(last) => {
                    self.all().for_each(|server| signal(&server.child, rustix::process::Signal::KILL));
                    last = None;
                    continue;
                }
            };
            let event = received.event;
            match event {
                Event::Chld => {
                    self.plain().say(Level::Notice, &received.line(""));
                    self.reap();
                }
                Event::Term | Event::Int => {
                    self.plain().say(Level::Notice, &received.line(", exiting"));
                    self.kill_all(event);
                    last = Some(Instant::now() + PATIENCE);
                }
                _ => {}
            }
        }
        self.plain().say(Level::Notice, "exit");
    }
}

impl Server {
    /// To end, with its requests or at once.
    fn told(&self, event: Event) {
        use rustix::process::Signal;
        signal(&self.child, if event == Event::Quit { Signal::QUIT } else { Signal::TERM });
    }

    /// If it has, the log says how.
    fn has_ended(&mut self, plain: &Plain) -> bool {
        let Ok(Some(status)) = self.child.try_wait() else { return false };
        let pid = self.child.id();
        match status.signal() {
            Some(number) => {
                let core = if status.core_dumped() { " (core dumped)" } else { "" };
                plain.say(Level::Alert, &format!("worker process {pid} exited on signal {number}{core}"));
            }
            None => {
                let code = status.code().unwrap_or(0);
                plain.say(Level::Notice, &format!("worker process {pid} exited with code {code}"));
            }
        }
        true
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
