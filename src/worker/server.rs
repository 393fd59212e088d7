//! The whole server: starts workers for a configuration, follows signals, swaps configurations.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use ngx::log::Level;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::listen::{self, Sockets};
use super::pid::PidFile;
use super::thread::{self, Job, Order, Refusal};
use super::{Counts, daemon};
use crate::cli::identity;
use crate::conf::tree::Main;
use crate::conf::{self, Origin};
use crate::log::{self, Plain};

/// A configuration and its workers.
struct Generation {
    main: Arc<Main>,
    workers: Workers,
}

/// What is kept of them once another configuration is in force. (Not the old one itself: its log files end with its workers.)
struct Workers {
    orders: watch::Sender<Order>,
    threads: Vec<JoinHandle<()>>,
}

/// Serves until a signal ends it.
pub fn run(origin: &Origin, main: Main) -> ExitCode {
    let main = Arc::new(main);
    let plain = Plain(main.error_log.clone());
    raise_limits(&main, &plain);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&plain, &format!("cannot make a runtime: {error}")),
    };
    let signals = {
        let _inside = runtime.enter();
        match catch_signals() {
            Ok(signals) => signals,
            Err(error) => return refuse(&plain, &format!("cannot catch signals: {error}")),
        }
    };
    let mut sockets = match &main.http {
        Some(http) => match listen::open_all(http, main.worker_processes, &[], &plain) {
            Some(sockets) => sockets,
            None => return ExitCode::FAILURE,
        },
        None => Vec::new(),
    };
    let pid = match PidFile::write(&main.pid) {
        Ok(pid) => pid,
        Err(error) => return refuse(&plain, &error),
    };
    let counts = Arc::new(Counts::default());
    plain.say(Level::Notice, "using the \"epoll\" event method");
    plain.say(Level::Notice, identity::server_full());
    let generation = match start(&main, &sockets, &counts) {
        Ok(generation) => generation,
        Err((level, error)) => {
            eprintln!("{}: [{}] {error}", identity::PROGRAM, level.name());
            plain.say(level, &error);
            return ExitCode::FAILURE;
        }
    };
    // (its log files stay open as long as somebody has the configuration)
    drop((main, plain));
    let mut pid = Some(pid);
    runtime.block_on(follow(origin, signals, generation, &mut sockets, &counts, &mut pid));
    ExitCode::SUCCESS
}

fn refuse(plain: &Plain, error: &str) -> ExitCode {
    eprintln!("{}: [emerg] {error}", identity::PROGRAM);
    plain.say(Level::Emerg, error);
    ExitCode::FAILURE
}

fn raise_limits(main: &Main, plain: &Plain) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Some(wanted) = main.worker_rlimit_nofile else { return };
    let maximum = getrlimit(Resource::Nofile).maximum.map_or(wanted, |maximum| maximum.max(wanted));
    let limit = Rlimit { current: Some(wanted), maximum: Some(maximum) };
    let lower = Rlimit { current: Some(wanted), maximum: getrlimit(Resource::Nofile).maximum };
    if setrlimit(Resource::Nofile, limit).is_err()
        && let Err(error) = setrlimit(Resource::Nofile, lower)
    {
        let error = conf::os_error(&std::io::Error::from(error));
        plain.say(Level::Alert, &format!("setrlimit(RLIMIT_NOFILE, {wanted}) failed {error}"));
    }
}

/// Starts all workers and waits until each of them serves.
fn start(main: &Arc<Main>, sockets: &[Arc<Sockets>], counts: &Arc<Counts>) -> Result<Generation, Refusal> {
    let (orders, receiver) = watch::channel(Order::Serve);
    let (started, results) = mpsc::channel();
    let mut threads = Vec::new();
    let workers = Workers { orders, threads: Vec::new() };
    let mut generation = Generation { main: main.clone(), workers };
    let Some(http) = &main.http else { return Ok(generation) };
    for id in 0..main.worker_processes {
        let mine = sockets.iter().map(|sockets| sockets.for_worker(id, main.worker_processes));
        let mine = mine.collect::<Result<Vec<_>, _>>();
        let job = Job {
            id,
            main: main.clone(),
            http: http.clone(),
            sockets: mine.map_err(|error| (Level::Emerg, format!("dup() failed {}", conf::os_error(&error))))?,
            counts: counts.clone(),
            orders: receiver.clone(),
            started: started.clone(),
            log: main.error_log.clone(),
        };
        let thread = std::thread::Builder::new().name(format!("worker {id}")).spawn(move || thread::run(job));
        threads.push(thread.map_err(|error| (Level::Emerg, format!("cannot start a worker: {error}")))?);
        // One after the other, so that init_by_lua's output comes in order and its failure stops at the first.
        match results.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                generation.workers.threads = threads;
                end(generation, Order::Stop);
                return Err(error);
            }
            Err(_) => return Err((Level::Emerg, "a worker ended while it was starting".into())),
        }
    }
    generation.workers.threads = threads;
    Ok(generation)
}

fn end(generation: Generation, order: Order) {
    let _ = generation.workers.orders.send(order);
    generation.workers.threads.into_iter().for_each(|thread| drop(thread.join()));
}

/// The signals that steer the server.
struct Signals {
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
}

/// From here on the signals are caught: before a port is open or a pid file tells of the process.
fn catch_signals() -> std::io::Result<Signals> {
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
    })
}

async fn follow(
    origin: &Origin,
    signals: Signals,
    mut now: Generation,
    sockets: &mut Vec<Arc<Sockets>>,
    counts: &Arc<Counts>,
    pid: &mut Option<PidFile>,
) {
    let Signals { mut term, mut int, mut quit, mut hup, mut usr1, mut winch, mut usr2, mut alrm, mut io } = signals;
    if daemon::is_child() {
        daemon::ready();
    }
    let mut old: Vec<Workers> = Vec::new();
    loop {
        let (number, name, order) = tokio::select! {
            _ = term.recv() => (15, "SIGTERM", Some(Order::Stop)),
            _ = int.recv() => (2, "SIGINT", Some(Order::Stop)),
            _ = quit.recv() => (3, "SIGQUIT", Some(Order::Quit)),
            _ = hup.recv() => (1, "SIGHUP", None),
            _ = usr1.recv() => (10, "SIGUSR1", None),
            _ = usr2.recv() => (12, "SIGUSR2", None),
            _ = winch.recv() => (28, "SIGWINCH", None),
            _ = alrm.recv() => (14, "SIGALRM", None),
            _ = io.recv() => (29, "SIGIO", None),
        };
        let plain = Plain(now.main.error_log.clone());
        let what = match (number, order) {
            (_, Some(Order::Quit)) => ", shutting down",
            (_, Some(_)) => ", exiting",
            (1, _) => ", reconfiguring",
            (10, _) => ", reopening logs",
            (12 | 28, _) => ", ignoring",
            _ => "",
        };
        plain.say(Level::Notice, &format!("signal {number} ({name}) received{what}"));
        match (order, number) {
            (Some(order), _) => {
                // No new connections from here on, and the port is free for a successor.
                sockets.clear();
                let _ = now.workers.orders.send(order);
                for workers in &old {
                    let _ = workers.orders.send(order);
                }
                old.push(now.workers);
                let wait = tokio::task::spawn_blocking(move || {
                    for workers in old {
                        workers.threads.into_iter().for_each(|thread| drop(thread.join()));
                        drop(workers.orders);
                    }
                });
                // A fast stop may follow a graceful one that takes too long.
                tokio::select! {
                    _ = wait => {}
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
                plain.say(Level::Notice, "exit");
                pid.take();
                // Threads that still finish requests after a fast stop end with the process.
                std::process::exit(0);
            }
            (None, 10) => {
                now.main.log_buffers.iter().for_each(|buffer| buffer.flush());
                if let Err(error) = log::open_all(&now.main.log_files) {
                    plain.say(Level::Emerg, &error);
                }
            }
            (None, 1) => {
                old.retain(|workers| !workers.threads.iter().all(JoinHandle::is_finished));
                if let Some(next) = reload(origin, &now, sockets, counts, pid) {
                    let _ = now.workers.orders.send(Order::Quit);
                    old.push(std::mem::replace(&mut now, next).workers);
                }
            }
            (None, _) => {}
        }
    }
}

/// A new configuration with new workers, or None and everything as it was.
fn reload(
    origin: &Origin,
    now: &Generation,
    sockets: &mut Vec<Arc<Sockets>>,
    counts: &Arc<Counts>,
    pid: &mut Option<PidFile>,
) -> Option<Generation> {
    let plain = Plain(now.main.error_log.clone());
    let mut notes = Vec::new();
    let loaded = conf::load(origin, &mut notes);
    notes.iter().for_each(|(level, text)| plain.say(*level, text));
    let main = match loaded.and_then(|main| log::open_all(&main.log_files).map(|()| main)) {
        Ok(main) => Arc::new(main),
        Err(error) => {
            plain.say(Level::Emerg, &error);
            return None;
        }
    };
    // The number of sockets per address was fixed when they were bound.
    let next = match &main.http {
        Some(http) => listen::open_all(http, main.worker_processes, sockets, &plain)?,
        None => Vec::new(),
    };
    match start(&main, &next, counts) {
        Ok(generation) => {
            *sockets = next;
            if main.pid != now.main.pid {
                pid.take();
                *pid = PidFile::write(&main.pid).ok();
            }
            Some(generation)
        }
        Err((level, error)) => {
            plain.say(level, &error);
            None
        }
    }
}
