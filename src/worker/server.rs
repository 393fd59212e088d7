//! The serving process: starts workers for a configuration, follows signals, swaps configurations. It is alone
//! (`master_process off`), or a parent supervises it (`master`), which then reads configurations and opens files for it.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;

use ngx::log::Level;
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;

use super::crew::Crew;
use super::handover::{self, Message, READY, REFUSED};
use super::listen::{self, Sockets};
use super::pid::PidFile;
use super::signals::{Event, Received, Signals};
use super::thread::{self, Job, Order, Refusal};
use super::{Counts, daemon, limits};
use crate::cli::identity;
use crate::conf::tree::Main;
use crate::conf::{self, Origin};
use crate::log::{self, Plain};

/// The workers of one configuration.
struct Generation {
    main: Arc<Main>,
    orders: watch::Sender<Order>,
    crew: Crew,
    /// Numbers of threads that died.
    deaths: UnboundedReceiver<usize>,
    /// Where a thread says whether its start succeeded.
    started: Arc<std::sync::Mutex<mpsc::Receiver<Result<(), Refusal>>>>,
}

struct Server<'a> {
    origin: &'a Origin,
    now: Generation,
    old: Vec<Generation>,
    sockets: Vec<Arc<Sockets>>,
    counts: Arc<Counts>,
    pid: Option<PidFile>,
    parent: Option<Parent>,
}

/// The parent, as the serving process knows it.
struct Parent {
    stream: Arc<UnixStream>,
    /// What it hands over; the end: it is gone.
    messages: UnboundedReceiver<Message>,
}

impl Parent {
    /// Inside a runtime.
    fn meet(stream: std::os::unix::net::UnixStream) -> std::io::Result<Parent> {
        stream.set_nonblocking(true)?;
        let stream = Arc::new(UnixStream::from_std(stream)?);
        let (tell, messages) = unbounded_channel();
        let reader = stream.clone();
        tokio::spawn(async move {
            while let Ok(message) = Message::receive(&reader).await {
                let _ = tell.send(message);
            }
        });
        Ok(Parent { stream, messages })
    }
}

/// Serves until a signal ends it: the only process there is.
pub fn run(origin: &Origin, main: Main) -> ExitCode {
    let main = Arc::new(main);
    let plain = Plain::of(&main);
    limits::set(&main, &plain);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&plain, &format!("cannot make a runtime: {error}")),
    };
    runtime.block_on(async {
        let signals = match Signals::catch(false) {
            Ok(signals) => signals,
            Err(error) => return refuse(&plain, &format!("cannot catch signals: {error}")),
        };
        let Some(sockets) = open(&main, &[], &plain) else { return ExitCode::FAILURE };
        let pid = match PidFile::write(&main.pid) {
            Ok(pid) => Some(pid),
            Err(error) => return refuse(&plain, &error),
        };
        introduce(&main);
        enter_directory(&main);
        let counts = Arc::new(Counts::default());
        let now = match start(&main, &sockets, &counts) {
            Ok(generation) => generation,
            Err(refusal) => return refuse_at(&plain, &refusal),
        };
        if daemon::is_child() {
            daemon::ready();
        }
        Server { origin, now, old: Vec::new(), sockets, counts, pid, parent: None }.follow(signals).await;
        ExitCode::SUCCESS
    })
}

/// Serves what the parent at the other end of `stream` hands over, until it or a signal ends it.
pub fn run_for_parent(origin: &Origin, stream: std::os::unix::net::UnixStream) -> ExitCode {
    let early = Plain::early(&[]);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&early, &format!("cannot make a runtime: {error}")),
    };
    runtime.block_on(async {
        let (signals, mut parent) = match Signals::catch(false).and_then(|signals| Ok((signals, Parent::meet(stream)?)))
        {
            Ok(both) => both,
            Err(error) => return refuse(&early, &format!("cannot meet the parent process: {error}")),
        };
        let Some(message) = parent.messages.recv().await else { return ExitCode::FAILURE };
        let counts = Arc::new(Counts::default());
        let begun = unpack(origin, message).and_then(|(main, sockets)| {
            limits::set(&main, &Plain::of(&main));
            if let Some(user) = main.user.as_ref().filter(|_| super::user::is_root()) {
                user.become_it().map_err(|error| ((Level::Emerg, error), Some(main.clone())))?;
            }
            enter_directory(&main);
            let now = start(&main, &sockets, &counts).map_err(|error| (error, Some(main)))?;
            Ok((now, sockets))
        });
        let (now, sockets) = match begun {
            Ok(begun) => begun,
            Err((error, main)) => {
                refuse_at(&main.map_or(early, |main| Plain::of(&main)), &error);
                let _ = handover::answer(&parent.stream, REFUSED).await;
                return ExitCode::FAILURE;
            }
        };
        if handover::answer(&parent.stream, READY).await.is_err() {
            return ExitCode::FAILURE;
        }
        if daemon::is_child() {
            daemon::let_go();
        }
        let parent = Some(parent);
        Server { origin, now, old: Vec::new(), sockets, counts, pid: None, parent }.follow(signals).await;
        ExitCode::SUCCESS
    })
}

/// A configuration out of the parent's hands. The error comes with the configuration, if that is not what is wrong.
fn unpack(origin: &Origin, message: Message) -> Result<(Arc<Main>, Vec<Arc<Sockets>>), (Refusal, Option<Arc<Main>>)> {
    let nowhere = |error: String| ((Level::Emerg, error), None);
    let Message::Serve { files, logs, sockets } = message else { return Err(nowhere("no configuration came".into())) };
    let origin = Origin { snapshot: Some(Arc::from(files)), ..origin.clone() };
    // (the parent has said the warnings)
    let main = conf::load(&origin, &mut Vec::new()).map_err(nowhere)?;
    log::adopt_all(&main.log_files, logs);
    let listens = main.http.iter().flat_map(|http| &http.listens);
    let sockets = listens.zip(sockets).map(|(listen, same)| Arc::new(Sockets::adopt(listen, same))).collect();
    Ok((Arc::new(main), sockets))
}

pub fn refuse(plain: &Plain, error: &str) -> ExitCode {
    refuse_at(plain, &(Level::Emerg, error.into()))
}

fn refuse_at(plain: &Plain, (level, error): &Refusal) -> ExitCode {
    eprintln!("{}: [{}] {error}", identity::PROGRAM, level.name());
    plain.say(*level, error);
    ExitCode::FAILURE
}

/// The first lines of the log.
pub fn introduce(main: &Main) {
    // (nothing is captured of them: OpenResty's are written before there is a buffer)
    let plain = Plain::early(&main.error_log);
    plain.say(Level::Notice, "using the \"epoll\" event method");
    plain.say(Level::Notice, identity::server_full());
}

pub fn open(main: &Main, kept: &[Arc<Sockets>], plain: &Plain) -> Option<Vec<Arc<Sockets>>> {
    match &main.http {
        Some(http) => listen::open_all(http, main.worker_processes, kept, plain),
        None => Some(Vec::new()),
    }
}

fn enter_directory(main: &Main) {
    if let Some(directory) = &main.working_directory {
        let _ = std::env::set_current_dir(directory);
    }
}

/// Starts all workers and waits until each of them serves.
fn start(main: &Arc<Main>, sockets: &[Arc<Sockets>], counts: &Arc<Counts>) -> Result<Generation, Refusal> {
    let (orders, receiver) = watch::channel(Order::Serve);
    let (tell, results) = mpsc::channel();
    let (died, deaths) = unbounded_channel();
    let (own_main, own_counts, own_sockets) = (main.clone(), counts.clone(), sockets.to_vec());
    let crew = Crew::new(died, move |id| {
        let main = &own_main;
        let Some(http) = &main.http else { return Err("nothing to serve".into()) };
        let mine = own_sockets.iter().map(|sockets| sockets.for_worker(id, main.worker_processes));
        let mine = mine.collect::<Result<Vec<_>, _>>();
        let job = Job {
            id,
            main: main.clone(),
            http: http.clone(),
            sockets: mine.map_err(|error| format!("dup() failed {}", conf::os_error(&error)))?,
            counts: own_counts.clone(),
            orders: receiver.clone(),
            started: tell.clone(),
            log: Plain::of(main),
        };
        Ok(Box::new(move || thread::run(job)))
    });
    let started = Arc::new(std::sync::Mutex::new(results));
    let mut generation = Generation { main: main.clone(), orders, crew, deaths, started };
    if main.http.is_none() {
        return Ok(generation);
    }
    for id in 0..main.worker_processes {
        // One after the other, so that init_by_lua's output comes in order and its failure stops at the first.
        if let Err(error) = generation.start_one(id) {
            let _ = generation.orders.send(Order::Stop);
            generation.crew.join();
            return Err(error);
        }
    }
    Ok(generation)
}

impl Generation {
    fn start_one(&mut self, id: usize) -> Result<(), Refusal> {
        self.crew.start(id).map_err(|error| (Level::Emerg, error))?;
        let results = self.started.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        loop {
            match results.recv_timeout(std::time::Duration::from_millis(100)) {
                Ok(result) => return result,
                // (it died before it could say anything)
                Err(_) if self.crew.is_dead(id) => {
                    return Err((Level::Emerg, "a worker ended while it was starting".into()));
                }
                Err(_) => {}
            }
        }
    }
}

/// So long a server whose parent was killed finishes its requests.
const ORPHAN_GRACE: std::time::Duration = std::time::Duration::from_secs(10);

/// What the loop below waits for.
enum Wake {
    Signal(Received),
    Message(Option<Message>),
    Death(usize),
}

impl Server<'_> {
    async fn follow(mut self, mut signals: Signals) {
        loop {
            let wake = tokio::select! {
                received = signals.next() => Wake::Signal(received),
                message = next_message(&mut self.parent) => Wake::Message(message),
                Some(id) = self.now.deaths.recv() => Wake::Death(id),
            };
            let plain = Plain::of(&self.now.main);
            match wake {
                Wake::Signal(received) => {
                    let event = received.event;
                    let under_parent = self.parent.is_some();
                    let then = match event {
                        Event::Quit => ", shutting down",
                        Event::Term | Event::Int => ", exiting",
                        Event::Hup if !under_parent => ", reconfiguring",
                        Event::Usr1 if !under_parent => ", reopening logs",
                        Event::Hup | Event::Usr1 | Event::Usr2 | Event::Winch => ", ignoring",
                        Event::Alrm | Event::Io | Event::Chld => "",
                    };
                    plain.say(Level::Notice, &received.line(then));
                    match event {
                        Event::Quit => return self.end(Order::Quit, signals).await,
                        Event::Term | Event::Int => return self.end(Order::Stop, signals).await,
                        Event::Hup if !under_parent => self.reload(),
                        Event::Usr1 if !under_parent => {
                            self.now.main.log_buffers.iter().for_each(|buffer| buffer.flush());
                            if let Err(error) = log::open_all(&self.now.main.log_files) {
                                plain.say(Level::Emerg, &error);
                            }
                        }
                        _ => {}
                    }
                }
                Wake::Message(Some(Message::Logs(files))) => {
                    self.now.main.log_buffers.iter().for_each(|buffer| buffer.flush());
                    log::adopt_all(&self.now.main.log_files, files);
                }
                Wake::Message(Some(message)) => {
                    let answer = if self.take_over(message) { READY } else { REFUSED };
                    if let Some(parent) = &self.parent {
                        let _ = handover::answer(&parent.stream, answer).await;
                    }
                }
                Wake::Message(None) => {
                    plain.say(Level::Alert, "the parent process is gone, shutting down");
                    return self.end(Order::Quit, signals).await;
                }
                Wake::Death(id) => {
                    plain.say(Level::Alert, &format!("worker thread {id} died, another takes its place"));
                    if let Err((level, error)) = self.now.start_one(id) {
                        plain.say(level, &error);
                    }
                }
            }
        }
    }

    async fn end(mut self, order: Order, mut signals: Signals) {
        // No new connections from here on, and the port is free for a successor.
        self.sockets.clear();
        let plain = Plain::of(&self.now.main);
        let mut all = self.old;
        all.push(self.now);
        let (orders, crews): (Vec<_>, Vec<_>) =
            all.into_iter().map(|generation| (generation.orders, generation.crew)).unzip();
        for orders in &orders {
            let _ = orders.send(order);
        }
        let threads: Vec<_> = crews.into_iter().flat_map(Crew::into_threads).collect();
        let wait = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        let orphan = self.parent.as_ref().is_some_and(|parent| parent.messages.is_closed());
        tokio::select! {
            _ = wait => {}
            () = signals.stop() => {}
            // Without a parent nobody could end what never ends by itself.
            () = tokio::time::sleep(ORPHAN_GRACE), if orphan => {}
        }
        plain.say(Level::Notice, "exit");
        self.pid.take();
        // Threads that still finish requests after a fast stop end with the process.
        std::process::exit(0);
    }

    /// A new configuration with new workers, or everything as it was.
    fn reload(&mut self) {
        let plain = Plain::of(&self.now.main);
        let mut notes = Vec::new();
        let loaded = conf::load(self.origin, &mut notes);
        notes.iter().for_each(|(level, text)| plain.say(*level, text));
        let main = match loaded.and_then(|main| log::open_all(&main.log_files).map(|()| main)) {
            Ok(main) => Arc::new(main),
            Err(error) => return plain.say(Level::Emerg, &error),
        };
        let Some(next) = open(&main, &self.sockets, &plain) else { return };
        if self.succeed(&main, next) && self.pid.as_ref().is_some_and(|pid| *pid.path() != main.pid) {
            self.pid.take();
            self.pid = PidFile::write(&main.pid).ok();
        }
    }

    /// The same with what the parent has read and opened.
    fn take_over(&mut self, message: Message) -> bool {
        match unpack(self.origin, message) {
            Ok((main, next)) => self.succeed(&main, next),
            Err(((level, error), _)) => {
                Plain::of(&self.now.main).say(level, &error);
                false
            }
        }
    }

    fn succeed(&mut self, main: &Arc<Main>, next: Vec<Arc<Sockets>>) -> bool {
        self.old.retain(|generation| !generation.crew.is_finished());
        // (what is freed here was partly a worker's)
        vm::pass_on();
        match start(main, &next, &self.counts) {
            Ok(generation) => {
                self.sockets = next;
                let before = std::mem::replace(&mut self.now, generation);
                let _ = before.orders.send(Order::Quit);
                self.old.push(before);
                true
            }
            Err((level, error)) => {
                Plain::of(&self.now.main).say(level, &error);
                false
            }
        }
    }
}

async fn next_message(parent: &mut Option<Parent>) -> Option<Message> {
    match parent {
        Some(parent) => parent.messages.recv().await,
        None => std::future::pending().await,
    }
}
