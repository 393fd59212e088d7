//! `perilune_status`: what each worker's Lua is doing, as text that monitoring reads (Prometheus' exposition format) or, asked for
//! with `?format=json` or `Accept: application/json`, as JSON. `?format=log` asks for what `error_log memory:` has kept instead.
//!
//! A worker that a reload has replaced shows up as exiting until its last request and timer have ended; `generation` tells the two
//! apart.

use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ngx::gauges::Gauges;
use ngx::request::Request;
use vm::What;

use super::stub_status;
use crate::http::live::Live;
use crate::http::phases::{self, Next};
use crate::http::vars::argument;

/// The gauges of all workers that are alive. Locked when a worker starts, and when somebody asks.
#[derive(Default)]
pub struct Registry(Mutex<Vec<Slot>>);

/// One worker id's.
#[derive(Default)]
struct Slot {
    generation: u64,
    alive: Vec<(u64, Weak<Gauges>)>,
}

/// (worker, generation, gauges)
type Alive = (usize, u64, Arc<Gauges>);

impl Registry {
    pub fn add(&self, worker: usize, gauges: &Arc<Gauges>) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() <= worker {
            slots.resize_with(worker + 1, Slot::default);
        }
        let slot = &mut slots[worker];
        slot.generation += 1;
        slot.alive.retain(|(_, gauges)| gauges.strong_count() > 0);
        slot.alive.push((slot.generation, Arc::downgrade(gauges)));
    }

    fn alive(&self) -> Vec<Alive> {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = slots.iter().enumerate().flat_map(|(worker, slot)| slot.alive.iter().map(move |one| (worker, one)));
        all.filter_map(|(worker, (generation, gauges))| Some((worker, *generation, gauges.upgrade()?))).collect()
    }
}

/// A row of the page: its name, whether it only ever grows, and its value.
struct Row {
    name: &'static str,
    grows: bool,
    doc: &'static str,
    value: fn(&Gauges) -> u64,
}

const fn row(name: &'static str, grows: bool, doc: &'static str, value: fn(&Gauges) -> u64) -> Row {
    Row { name, grows, doc, value }
}

const ROWS: &[Row] = &[
    row("scripts_run", true, "Runs of Lua that began", |g| g.scripts.get()),
    row("scripts_failed", true, "Runs of Lua that an error ended", |g| g.failed.get()),
    row("light_threads", false, "Light threads alive, entry threads included", |g| g.threads.get()),
    row("timers_pending", false, "Timers that wait for their time", |g| g.timers_pending.get()),
    row("timers_running", false, "Timers whose function runs", |g| g.timers_running.get()),
    row("idle_sockets", false, "Idle connections in cosockets' pools", |g| g.idle.get()),
    row("lua_heap_bytes", false, "Bytes in use by Lua", |g| g.memory.get()),
    row("exiting", false, "1 when the worker is on its way out", |g| u64::from(g.exiting.load(Ordering::Relaxed))),
];

/// What light threads wait for, and how many do.
fn waits(gauges: &Gauges) -> impl Iterator<Item = (&'static str, u64)> {
    let outside = What::ALL.into_iter().map(|what| (what.name(), gauges.waits(what).get()));
    outside.chain([("thread", gauges.joins.get())])
}

/// The server's own numbers: name, whether it grows, value.
fn server(live: &Live) -> [(&'static str, bool, u64); 7] {
    let counts = &live.worker.counts;
    let now = stub_status::now(live);
    [
        ("connections_active", false, now.active),
        ("connections_reading", false, now.reading),
        ("connections_writing", false, now.writing),
        ("connections_waiting", false, now.waiting),
        ("connections_accepted", true, counts.accepted.load(Ordering::Relaxed)),
        ("requests", true, counts.requests()),
        // (of all threads: what small blocks are cut from; it stays when they are freed)
        ("heap_reserved_bytes", false, vm::reserved() as u64),
    ]
}

pub async fn serve(live: &Live, request: &mut Request) -> Next {
    if !matches!(&request.method[..], b"GET" | b"HEAD") {
        return Next::Status(405);
    }
    let asked = request.args.as_deref().and_then(|args| argument(args, b"format"));
    let json = match asked.as_deref() {
        Some(b"json") => true,
        Some(b"text") => false,
        Some(b"log") => {
            request.response.headers.set("Cache-Control", "no-store");
            return phases::text(live, request, "text/plain", kept_lines(live)).await;
        }
        Some(_) => return Next::Status(400),
        None => {
            let accept = request.headers.first(b"accept");
            accept.is_some_and(|accept| memchr::memmem::find(accept, b"application/json").is_some())
        }
    };
    let alive = live.worker.counts.lua.alive();
    request.response.headers.set("Cache-Control", "no-store");
    let (kind, body) = match json {
        true => ("application/json", as_json(live, &alive)),
        false => ("text/plain; version=0.0.4", as_text(live, &alive)),
    };
    phases::text(live, request, kind, body.into_bytes()).await
}

fn kept_lines(live: &Live) -> Vec<u8> {
    let lines = live.worker.main.memory_logs.iter().flat_map(|log| log.lines());
    lines.flat_map(|line| line.into_iter().chain([b'\n'])).collect()
}

fn as_text(live: &Live, alive: &[Alive]) -> String {
    let mut out = String::new();
    let kind = |grows: bool| if grows { "counter" } else { "gauge" };
    for (name, grows, value) in server(live) {
        let _ = write!(out, "# TYPE perilune_{name} {}\nperilune_{name} {value}\n", kind(grows));
    }
    for Row { name, grows, doc, value } in ROWS {
        let _ = write!(out, "# HELP perilune_{name} {doc}.\n# TYPE perilune_{name} {}\n", kind(*grows));
        for (worker, generation, gauges) in alive {
            let _ =
                writeln!(out, "perilune_{name}{{worker=\"{worker}\",generation=\"{generation}\"}} {}", value(gauges));
        }
    }
    out.push_str("# HELP perilune_waits Light threads that wait, by what for.\n# TYPE perilune_waits gauge\n");
    for (worker, generation, gauges) in alive {
        for (what, n) in waits(gauges) {
            let _ =
                writeln!(out, "perilune_waits{{worker=\"{worker}\",generation=\"{generation}\",what=\"{what}\"}} {n}");
        }
    }
    out
}

/// (Every name is one of ours: nothing needs escaping.)
fn as_json(live: &Live, alive: &[Alive]) -> String {
    let mut out = String::from("{");
    for (name, _, value) in server(live) {
        let _ = write!(out, "\"{name}\":{value},");
    }
    out.push_str("\"workers\":[");
    for (at, (worker, generation, gauges)) in alive.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{{\"worker\":{worker},\"generation\":{generation}");
        for Row { name, value, .. } in ROWS {
            let _ = write!(out, ",\"{name}\":{}", value(gauges));
        }
        let each: Vec<String> = waits(gauges).map(|(what, n)| format!("\"{what}\":{n}")).collect();
        let _ = write!(out, ",\"waits\":{{{}}}}}", each.join(","));
    }
    out.push_str("]}\n");
    out
}
