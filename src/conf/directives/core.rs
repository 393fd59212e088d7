//! The main and events contexts (nginx's core and event modules).

use std::path::PathBuf;

use ngx::log::Level;
use ngx::thread_pool::PoolConf;

use super::super::build::{Builder, Directive, Frame, on_off};
use super::super::{place, scalar};
use super::arity::{NONE, ONE, ONE_MORE, THREE, TWO};
use super::context::{EVENTS, MAIN};
use super::{Block, Row, nothing, nothing_flag, row};
use crate::worker::user;

pub static ROWS: &[Row] = &[
    row("daemon", MAIN, ONE, |b, d| {
        b.once(d)?;
        b.main.daemon = Some(on_off(d)?);
        Ok(())
    }),
    row("master_process", MAIN, ONE, |b, d| {
        b.once(d)?;
        b.main.master_process = Some(on_off(d)?);
        Ok(())
    }),
    row("worker_processes", MAIN, ONE, worker_processes),
    row("worker_rlimit_nofile", MAIN, ONE, |b, d| {
        b.once(d)?;
        b.main.worker_rlimit_nofile = Some(scalar::number(d.arg(0)).ok_or_else(|| d.says("invalid number"))?);
        Ok(())
    }),
    row("worker_rlimit_core", MAIN, ONE, |b, d| {
        b.once(d)?;
        b.main.worker_rlimit_core = Some(scalar::size(d.arg(0)).ok_or_else(|| d.says("invalid value"))?);
        Ok(())
    }),
    row("worker_shutdown_timeout", MAIN, ONE, |b, d| {
        b.once(d)?;
        b.main.worker_shutdown_timeout = Some(scalar::msec(d.arg(0)).ok_or_else(|| d.says("invalid value"))?);
        Ok(())
    }),
    row("pid", MAIN, ONE, |b, d| {
        b.once(d)?;
        b.main.pid = Some(b.path(d.arg(0)));
        Ok(())
    }),
    row("user", MAIN, ONE | TWO, |b, d| {
        b.once(d)?;
        if !user::is_root() {
            let words = "the \"user\" directive makes sense only if the master process runs with super-user privileges, ignored";
            b.notes.push((Level::Warn, format!("{words}{}", place(&d.pos))));
            return Ok(());
        }
        let group = (d.args().len() > 1).then(|| d.text(1));
        b.main.user = Some(Some(user::find(&d.text(0), group.as_deref())?));
        Ok(())
    }),
    row("env", MAIN, ONE, |b, d| {
        let text = d.text(0);
        let pair = match text.split_once('=') {
            Some((name, value)) => (name.to_string(), Some(value.to_string())),
            None => (text, None),
        };
        b.main.env.push(pair);
        Ok(())
    }),
    row("working_directory", MAIN, ONE, |b, d| {
        b.once(d)?;
        b.main.working_directory = Some(PathBuf::from(d.text(0)));
        Ok(())
    }),
    // Modules are compiled in; the line may stay as it is.
    row("load_module", MAIN, ONE, nothing),
    row("worker_priority", MAIN, ONE, nothing),
    row("worker_cpu_affinity", MAIN, ONE_MORE, nothing),
    row("pcre_jit", MAIN, ONE, nothing_flag),
    row("lock_file", MAIN, ONE, nothing),
    row("timer_resolution", MAIN, ONE, nothing),
    row("thread_pool", MAIN, TWO | THREE, thread_pool),
    row("debug_points", MAIN, ONE, nothing),
    row("ssl_engine", MAIN, ONE, nothing),
    Row {
        name: "events",
        at: MAIN,
        args: NONE,
        block: Block::Open { inner: EVENTS, leave: |b| pop(b) },
        set: |b, d| {
            if std::mem::replace(&mut b.main.events, true) {
                return Err(d.says("is duplicate"));
            }
            b.frames.push(Frame::Other);
            Ok(())
        },
    },
    row("worker_connections", EVENTS, ONE, |b, d| {
        b.once(d)?;
        let number = scalar::number(d.arg(0)).and_then(|n| usize::try_from(n).ok());
        let number = number.ok_or_else(|| format!("invalid number \"{}\"", d.text(0)))?;
        b.main.worker_connections = Some(number);
        Ok(())
    }),
    row("use", EVENTS, ONE, |_, d| match d.arg(0) {
        b"epoll" | b"poll" | b"select" => Ok(()),
        _ => Err(format!("invalid event type \"{}\"", d.text(0))),
    }),
    row("multi_accept", EVENTS, ONE, nothing_flag),
    row("accept_mutex", EVENTS, ONE, nothing_flag),
    row("accept_mutex_delay", EVENTS, ONE, nothing),
    row("debug_connection", EVENTS, ONE, nothing),
    row("worker_aio_requests", EVENTS, ONE, nothing),
];

fn pop(b: &mut Builder) -> Result<(), String> {
    b.frames.pop();
    Ok(())
}

/// Words it does not know are skipped, as nginx does.
fn thread_pool(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let name = d.arg(0).to_vec();
    if b.main.thread_pools.iter().any(|pool| pool.name == name) {
        return Err(format!("duplicate thread pool \"{}\"", d.text(0)));
    }
    let mut pool = PoolConf { name, threads: 0, max_queue: 65536 };
    for word in &d.args()[1..] {
        let number =
            |value: &[u8], least| scalar::number(value).and_then(|n| usize::try_from(n).ok()).filter(|n| *n >= least);
        let text = || String::from_utf8_lossy(word);
        if let Some(value) = word.strip_prefix(b"threads=") {
            pool.threads = number(value, 1).ok_or_else(|| format!("invalid threads value \"{}\"", text()))?;
        } else if let Some(value) = word.strip_prefix(b"max_queue=") {
            pool.max_queue = number(value, 0).ok_or_else(|| format!("invalid max_queue value \"{}\"", text()))?;
        }
    }
    if pool.threads == 0 {
        return Err("\"thread_pool\" must have \"threads\" parameter".into());
    }
    b.main.thread_pools.push(pool);
    Ok(())
}

fn worker_processes(b: &mut Builder, d: &Directive) -> Result<(), String> {
    b.once(d)?;
    let count = match d.arg(0) {
        b"auto" => std::thread::available_parallelism().map_or(1, usize::from),
        word => scalar::number(word)
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| (1..=1024).contains(n))
            .ok_or_else(|| d.says("invalid value"))?,
    };
    b.main.worker_processes = Some(count);
    Ok(())
}
