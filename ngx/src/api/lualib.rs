//! Modules of OpenResty's libraries that ship with the program, written in Lua (`lualib/`), and what they need of the host.
//!
//! `package.preload` has a loader for each; a module is compiled when it is first required.
use std::rc::Rc;
use std::sync::Arc;

use vm::{Call, Cx, Outcome, Reply, Row, Value, What, row};

use super::shdict::zone;
use super::{request, row_in, worker};
use crate::phase::{ANY, WAITING};
use crate::shdict::events::Queue;
use crate::timers::{Callback, Timers};

const MODULES: &[(&str, &str)] = &[
    ("resty.lock", include_str!("../lualib/lock.lua")),
    ("resty.lrucache", include_str!("../lualib/lrucache.lua")),
    ("resty.lrucache.pureffi", include_str!("../lualib/lrucache.lua")),
    ("resty.worker.events", include_str!("../lualib/worker_events.lua")),
];

static LOADER: Row = row("loader", load, "loader(name) -> the module");

/// What `resty.worker.events` is made of.
static EVENTS: &[Row] = &[
    row_in("join", join, ANY, "bus.join(dict) -> a queue of the events posted to the dictionary from now on"),
    row_in("post", post, ANY, "bus.post(dict, text): to every queue of the dictionary"),
    row_in("take", take, ANY, "bus.take(queue) -> the oldest text, or nil"),
    row_in("wake", wake, ANY, "bus.wake(queue): ends its wait"),
    row_in(
        "start",
        start,
        ANY,
        "bus.start(f): calls f(false) soon, beside everything else, as a timer that is not counted",
    ),
    row_in("wait", wait, WAITING, "bus.wait(queue): until something was posted, or the worker is to exit"),
];

/// Registers the loaders.
pub fn open(cx: Cx<'_>) {
    let preload = cx.library("package.preload", &[]);
    for (name, _) in MODULES {
        cx.set_field(preload, name, cx.native(&LOADER, &[]));
    }
}

fn load<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let name = call.bytes(0)?;
    let Some((name, source)) = MODULES.iter().find(|(known, _)| known.as_bytes() == name) else {
        return Err(call.error("no such module"));
    };
    let cx = call.cx;
    call.charge(source.len());
    let main = cx.load(source.as_bytes(), format!("={name}").as_bytes(), cx.globals())?;
    call.push(Value::closure(main));
    call.push(Value::table(super::ngx_table::meta(cx, EVENTS)));
    Ok(Outcome::TailCall)
}

fn queue<'gc>(call: &Call<'_, 'gc>) -> Result<Arc<Queue>, Value<'gc>> {
    let queue = call.arg(0).as_userdata().and_then(|u| u.downcast::<Arc<Queue>>());
    queue.map(|queue| (*queue).clone()).ok_or_else(|| call.error("not a queue"))
}

fn join<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let queue = zone(call)?.events.join();
    let object = call.cx.userdata(Rc::new(queue), None);
    call.ret(Value::userdata(object))
}

fn post<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (zone, text) = (zone(call)?, call.bytes(1)?);
    call.charge(text.len() / 8);
    zone.events.post(text);
    Ok(Outcome::Return)
}

fn take<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    match queue(call)?.take() {
        Some(text) => {
            call.reserve(text.len())?;
            let text = call.cx.str(&text);
            call.ret(text)
        }
        None => call.ret(Value::NIL),
    }
}

fn wake<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    queue(call)?.wake();
    Ok(Outcome::Return)
}

fn start<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let callback = Callback { function: call.cx.stash(call.arg(0)), args: Vec::new() };
    let owner = worker(call)?;
    Timers::start_own(&owner, request(call)?, callback);
    Ok(Outcome::Return)
}

fn wait<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (queue, worker) = (queue(call)?, worker(call)?);
    let job = async move {
        let exit = worker.timers.exit_begins();
        tokio::pin!(exit);
        exit.as_mut().enable();
        if worker.is_exiting() {
            return;
        }
        tokio::select! { () = queue.posted() => {}, () = exit => {} }
    };
    Outcome::park(What::Event, job, |_, ()| Ok(Outcome::Return))
}
