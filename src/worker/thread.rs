//! One worker's thread: its runtime, its VM, its accept loops, and how it ends.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ngx::code::{Code, Source};
use ngx::log::Level;
use ngx::phase::Phase;
use ngx::request::Connection;
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::listen::Listener;
use super::{Counts, Worker, vm};
use crate::conf::tree::{Http, Main};
use crate::log::Plain;
use ngx::stream::Stream;
use ngx::trace::{self, Word};

/// What the server wants of a worker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    Serve,
    /// Finish what is in service, then end.
    Quit,
    Stop,
}

pub struct Job {
    pub id: usize,
    pub main: Arc<Main>,
    pub http: Arc<Http>,
    /// Per address of the configuration.
    pub sockets: Vec<Vec<socket2::Socket>>,
    pub counts: Arc<Counts>,
    pub orders: watch::Receiver<Order>,
    /// Told once: whether the start succeeded; if not, what to log.
    pub started: std::sync::mpsc::Sender<Result<(), Refusal>>,
    /// The first worker of a configuration runs init_by_lua's checks for all: its failure fails the start.
    pub log: Plain,
}

/// Why a worker did not start, and how the log is to call it.
pub type Refusal = (Level, String);

/// Threads of a worker's own for what takes long and needs no Lua: checks of costly password hashes.
const HELPERS: usize = 2;

/// The thread's whole life.
pub fn run(job: Job) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime =
        match ngx::now::follow(builder.enable_all().max_blocking_threads(HELPERS).on_thread_start(::vm::bequeath))
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = job.started.send(Err((Level::Emerg, format!("cannot make a runtime: {error}"))));
                return;
            }
        };
    let tasks = LocalSet::new();
    // (a task of its own: what is outside all tasks is polled whenever one of them was)
    let ended = runtime.block_on(tasks.run_until(async { tokio::task::spawn_local(live(job)).await }));
    if let Err(panic) = ended.map_err(tokio::task::JoinError::try_into_panic)
        && let Ok(panic) = panic
    {
        std::panic::resume_unwind(panic);
    }
    // Whatever is left (a second look at a client that is gone) ends with the runtime.
}

async fn live(job: Job) {
    let Job { id, main, http, sockets, counts, mut orders, started, log } = job;
    let mut setup = vm::setup(&main, &http, id);
    setup.pools = Some(Rc::new(vm::pools(&main, &http, id, &log)));
    counts.lua.add(id, &setup.gauges);
    let (plain, places) = (Rc::new(log), setup.places.clone());
    let lua = Rc::new(vm::WorkerVm::create(setup, plain.clone(), http.lua.init.clone()));
    if let Some(code) = &http.lua.init
        && let Err(error) = lua.run_worker_phase(Phase::Init, code).await
    {
        let error = format!("{} error: {}", directive("init_by_lua", code), String::from_utf8_lossy(&error));
        let _ = started.send(Err((Level::Error, error)));
        return;
    }
    let worker = Rc::new(Worker::new(id, main, http.clone(), counts, lua.clone(), places));
    let (host, log) = (Rc::downgrade(&worker), plain.clone());
    worker.places.when_full(move || host.upgrade().is_some_and(|worker| make_room(&worker, &log)));
    let mut listeners = Vec::new();
    let sockets = sockets.into_iter().enumerate().flat_map(|(at, many)| many.into_iter().map(move |one| (at, one)));
    for (listen, socket) in sockets {
        let unix = matches!(http.listens[listen].addr, crate::conf::tree::Addr::Unix(_));
        match Listener::new(socket, unix) {
            Ok(listener) => listeners.push((listen, listener)),
            Err(error) => {
                let _ = started.send(Err((Level::Emerg, format!("cannot listen: {error}"))));
                return;
            }
        }
    }
    if let Some(code) = &http.lua.init_worker {
        // Its failure is logged and no more: the worker serves all the same.
        let end = lua.run_worker_phase(Phase::InitWorker, code).await;
        report(&plain, &directive("init_worker_by_lua", code), end);
    }
    let broken = Rc::new(tokio::sync::Notify::new());
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|(listen, listener)| {
            let accepting = accept(worker.clone(), listener, listen, plain.clone());
            let guard = Guard(broken.clone());
            tokio::task::spawn_local(async move {
                let _guard = guard;
                accepting.await;
            })
        })
        .collect();
    let _ = started.send(Ok(()));
    let order = loop {
        if *orders.borrow_and_update() != Order::Serve {
            break *orders.borrow();
        }
        let changed = tokio::select! {
            changed = orders.changed() => changed,
            // A worker that does not accept is none: the thread dies of it, and is replaced.
            () = broken.notified() => panic!("worker {id} has stopped accepting connections"),
        };
        if changed.is_err() {
            break Order::Stop;
        }
    };
    accepting.iter().for_each(tokio::task::JoinHandle::abort);
    worker.quitting.set(true);
    if order == Order::Quit {
        plain.say(Level::Notice, "gracefully shutting down");
        let finish = async {
            lua.drain().await;
            worker.quit.notify_waiters();
            let grace = tokio::time::sleep(crate::conn::GRACE);
            tokio::pin!(grace);
            loop {
                let idle = worker.idle.notified();
                let waiting = worker.open.get() > 0 && !grace.is_elapsed();
                if worker.active.get() == 0 && !waiting {
                    return;
                }
                tokio::select! { () = idle => {}, () = &mut grace, if waiting => {} }
            }
        };
        let stop = async {
            while *orders.borrow_and_update() != Order::Stop {
                if orders.changed().await.is_err() {
                    return;
                }
            }
        };
        let limit = worker.main.worker_shutdown_timeout;
        let limit = async {
            match limit {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { () = finish => {}, () = stop => {}, () = limit => {} }
        // Responses that are complete may still be on their way to the socket.
        tokio::task::yield_now().await;
    }
    worker.main.log_buffers.iter().for_each(|buffer| buffer.flush());
    if let Some(code) = &http.lua.exit_worker {
        let end = lua.run_worker_phase(Phase::ExitWorker, code).await;
        report(&plain, &directive("exit_worker_by_lua", code), end);
    }
}

/// How a message calls the directive that the code is of.
fn directive(name: &str, code: &Code) -> String {
    let file = matches!(code.source, Source::File(_));
    format!("{name}{}", if file { "_file" } else { "" })
}

/// Tells that a loop which never ends has panicked.
struct Guard(Rc<tokio::sync::Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.notify_one();
        }
    }
}

fn report(plain: &Plain, directive: &str, end: Result<(), Vec<u8>>) {
    if let Err(message) = end {
        plain.say(Level::Error, &format!("{directive} error: {}", String::from_utf8_lossy(&message)));
    }
}

async fn accept(worker: Rc<Worker>, listener: Listener, listen: usize, log: Rc<Plain>) {
    loop {
        let accepted = match &listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                let _ = stream.set_nodelay(true);
                let client = client(&worker, stream.peer_addr().ok(), stream.local_addr().ok());
                (Stream::from(stream), client)
            }),
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                let path = match &worker.http.listens[listen].addr {
                    crate::conf::tree::Addr::Unix(path) => format!("unix:{}", path.display()),
                    crate::conf::tree::Addr::Tcp(addr) => addr.to_string(),
                };
                let client = Connection {
                    number: number(&worker),
                    remote_addr: b"unix:".to_vec(),
                    server_addr: path.into_bytes(),
                    unix: true,
                    started_ms: crate::time::now_ms(),
                    ..Connection::default()
                };
                (Stream::from(stream), client)
            }),
        };
        match accepted {
            Ok((stream, client)) => {
                let Some(place) = worker.places.take() else {
                    log.say(Level::Alert, &worker.places.words());
                    continue;
                };
                let stream = stream.at(place);
                let from = trace::note(|| String::from_utf8_lossy(&client.remote_addr).into_owned());
                trace::at(Word::Accept, from);
                let open = Open::new(worker.counts.clone());
                worker.open.set(worker.open.get() + 1);
                let (worker, client) = (worker.clone(), Rc::new(client));
                tokio::task::spawn_local(async move {
                    crate::conn::serve(worker.clone(), stream, client, listen).await;
                    drop(open);
                    worker.open.set(worker.open.get() - 1);
                    worker.idle.notify_waiters();
                });
            }
            // The client gave up before it was its turn.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Mostly too many open files: waiting is all that helps.
                log.say(Level::Crit, &format!("accept4() failed {}", crate::conf::os_error(&error)));
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

/// Where there are too many connections, the client that has been idle for longest is asked to go: the first in the queue of those
/// who wait for `quit`, where each stands since it came, or since its last request once places became scarce. Whether there was one.
fn make_room(worker: &Worker, log: &Plain) -> bool {
    let idle = worker.open.get() > worker.active.get();
    if idle {
        log.say(Level::Warn, &format!("{}, reusing connections", worker.places.words()));
        worker.quit.notify_one();
    }
    idle
}

fn number(worker: &Worker) -> u64 {
    worker.counts.accepted.fetch_add(1, Ordering::Relaxed) + 1
}

fn client(worker: &Worker, peer: Option<std::net::SocketAddr>, local: Option<std::net::SocketAddr>) -> Connection {
    Connection {
        number: number(worker),
        remote_addr: peer.map(|addr| addr.ip().to_string().into_bytes()).unwrap_or_default(),
        remote_port: peer.map_or(0, |addr| addr.port()),
        server_addr: local.map(|addr| addr.ip().to_string().into_bytes()).unwrap_or_default(),
        server_port: local.map_or(0, |addr| addr.port()),
        started_ms: crate::time::now_ms(),
        ..Connection::default()
    }
}

/// Counts a connection as open while it lives.
struct Open(Arc<Counts>);

impl Open {
    fn new(counts: Arc<Counts>) -> Open {
        counts.open.fetch_add(1, Ordering::Relaxed);
        Open(counts)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
