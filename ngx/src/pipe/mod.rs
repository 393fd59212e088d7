//! Programs that Lua starts and talks to through pipes (the module ngx.pipe).
//!
//! A `Process` is what Lua holds. A task of its own waits for the program's end, so that none stays a zombie; when Lua's object
//! goes while the program runs, that task kills it.
use std::cell::Cell;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;

use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, oneshot};

mod stream;

pub(crate) use stream::{Broken, Input, Output};

/// What to start, and how.
pub(crate) struct Plan {
    pub program: Vec<u8>,
    pub args: Vec<Vec<u8>>,
    /// `name=value`, each; None: ours.
    pub environ: Option<Vec<Vec<u8>>>,
    pub merge_stderr: bool,
    pub buffer_size: usize,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Exit(i32),
    Signal(i32),
}

pub(crate) struct Process {
    /// None: it could not be executed, and counts as one that ended with status 1.
    pub pid: Option<u32>,
    pub stdin: Input,
    pub stdout: Output,
    /// None: it goes where stdout goes.
    pub stderr: Option<Output>,
    /// Milliseconds; 0: for ever.
    pub wait_timeout: Cell<u64>,
    state: Rc<State>,
    /// Its end was asked for and told: nothing is left to do with it.
    closed: Cell<bool>,
    waiting: Cell<bool>,
    _alive: oneshot::Sender<()>,
}

#[derive(Default)]
struct State {
    end: Cell<Option<End>>,
    told: Notify,
}

/// Why there is no process at all; or why the program could not be executed, which the log is to know.
pub(crate) enum Refusal {
    NoPipe(io::Error),
    NoProcess(io::Error),
}

impl Process {
    pub fn spawn(plan: &Plan) -> Result<(Process, Option<io::Error>), Refusal> {
        use std::os::unix::ffi::OsStrExt;
        let word = |bytes: &[u8]| std::ffi::OsStr::from_bytes(bytes).to_owned();
        let (theirs_in, ours_in) = io::pipe().map_err(Refusal::NoPipe)?;
        let (ours_out, theirs_out) = io::pipe().map_err(Refusal::NoPipe)?;
        let mut command = Command::new(word(&plan.program));
        command.args(plan.args.iter().map(|arg| word(arg))).kill_on_drop(true);
        let stderr = if plan.merge_stderr {
            command.stderr(theirs_out.try_clone().map_err(Refusal::NoPipe)?);
            None
        } else {
            let (ours, theirs) = io::pipe().map_err(Refusal::NoPipe)?;
            command.stderr(theirs);
            Some(receiver(ours.into()).map_err(Refusal::NoPipe)?)
        };
        command.stdin(Stdio::from(theirs_in)).stdout(theirs_out);
        if let Some(environ) = &plan.environ {
            command.env_clear();
            for entry in environ {
                // (a name may begin with an equals sign)
                let at = entry.iter().skip(1).position(|c| *c == b'=').map_or(entry.len(), |at| at + 1);
                command.env(word(&entry[..at]), word(entry.get(at + 1..).unwrap_or_default()));
            }
        }
        let state = Rc::new(State::default());
        let (alive, gone) = oneshot::channel();
        let (pid, failed) = match command.spawn() {
            Ok(child) => {
                let pid = child.id();
                tokio::task::spawn_local(watch(child, state.clone(), gone));
                (pid, None)
            }
            // There is no process to be had.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory) => {
                return Err(Refusal::NoProcess(error));
            }
            Err(error) => {
                state.end.set(Some(End::Exit(1)));
                (None, Some(error))
            }
        };
        // Our copies of the program's ends are in the command.
        drop(command);
        let process = Process {
            pid,
            stdin: Input::new(pipe::Sender::from_owned_fd(ours_in.into()).map_err(Refusal::NoPipe)?),
            stdout: Output::new(receiver(ours_out.into()).map_err(Refusal::NoPipe)?, plan.buffer_size),
            stderr: stderr.map(|pipe| Output::new(pipe, plan.buffer_size)),
            wait_timeout: Cell::new(0),
            state,
            closed: Cell::new(false),
            waiting: Cell::new(false),
            _alive: alive,
        };
        Ok((process, failed))
    }

    /// Its end was told by `wait`: streams are closed, and there is nobody to send signals to.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }
    /// The program has ended, whether anybody asked or not.
    pub fn has_ended(&self) -> bool {
        self.state.end.get().is_some()
    }

    /// Marks that somebody waits for the end; None: somebody does already.
    pub fn begin_wait(self: &Rc<Self>) -> Option<Waiting> {
        if self.waiting.replace(true) {
            return None;
        }
        Some(Waiting(self.clone()))
    }

    /// The end told, everything is closed; whoever still reads or writes learns that it is.
    fn close(&self) {
        self.closed.set(true);
        self.stdin.shutdown(Broken::Closed);
        self.stdout.shutdown(Broken::Closed);
        if let Some(stderr) = &self.stderr {
            stderr.shutdown(Broken::Closed);
        }
    }
}

/// The right to wait for a process.
pub(crate) struct Waiting(Rc<Process>);

impl Waiting {
    /// How it ended; the process is closed with that. None: it took too long.
    pub async fn end(self) -> Option<End> {
        let state = &self.0.state;
        let ended = async {
            loop {
                let told = state.told.notified();
                if let Some(end) = state.end.get() {
                    return end;
                }
                told.await;
            }
        };
        let end = crate::cosocket::within(self.0.wait_timeout.get(), ended).await?;
        self.0.close();
        Some(end)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.set(false);
    }
}

fn receiver(end: std::os::fd::OwnedFd) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(end)
}

/// Notes the program's end; kills it when Lua's object has gone.
async fn watch(mut child: Child, state: Rc<State>, gone: oneshot::Receiver<()>) {
    let status = tokio::select! {
        status = child.wait() => status,
        _ = gone => {
            // (it may have ended this moment)
            let _ = child.start_kill();
            child.wait().await
        }
    };
    state.end.set(Some(status.map_or(End::Exit(1), end_of)));
    state.told.notify_waiters();
}

fn end_of(status: ExitStatus) -> End {
    use std::os::unix::process::ExitStatusExt;
    match status.code() {
        Some(code) => End::Exit(code),
        None => End::Signal(status.signal().unwrap_or(0)),
    }
}
