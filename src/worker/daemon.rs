//! `daemon on`: the same binary started again, detached; never fork alone, because threads do not survive it.
//!
//! The child's standard output is a pipe to the parent, which returns when the child says that it serves, or passes on that it
//! failed. Messages of a failing start go to the terminal, since standard error stays the parent's until then.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{Command, ExitCode, Stdio};

/// Set in the child's environment.
const MARK: &str = "PERILUNE_DETACHED";
const READY: &str = "ready";

pub fn is_child() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts the detached process and waits until it serves.
pub fn start() -> ExitCode {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return failed(&format!("cannot find the program's own file {error}")),
    };
    let child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return failed(&format!("cannot start the detached process {error}")),
    };
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        let _ = BufReader::new(output).read_line(&mut line);
    }
    if line.trim() == READY {
        return ExitCode::SUCCESS;
    }
    let _ = child.wait();
    ExitCode::FAILURE
}

fn failed(message: &str) -> ExitCode {
    eprintln!("{}: [emerg] {message}", crate::cli::identity::PROGRAM);
    ExitCode::FAILURE
}

/// In the child, first of all: a session of its own.
pub fn detach() {
    let _ = rustix::process::setsid();
}

/// In the child, when it serves: tells the parent, and lets go of its terminal.
pub fn ready() {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{READY}");
    let _ = out.flush();
    let_go();
}

/// Lets go of the terminal of whoever started the server.
pub fn let_go() {
    if let Ok(null) = std::fs::File::options().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(null.as_fd());
        let _ = rustix::stdio::dup2_stderr(null.as_fd());
    }
}
