//! ngx.thread: light threads.
use vm::{Call, Cx, Outcome, Reply, Row, Thread, ThreadId, Until, Value};

use super::{request, row_in};
use crate::phase::WAITING;
use crate::state::LightThread;

pub static NATIVES: &[Row] = &[
    row_in("spawn", spawn, WAITING, "ngx.thread.spawn(f, ...) -> a light thread"),
    row_in("wait", wait, WAITING, "ngx.thread.wait(t1, t2, ...) -> ok, results of the first that ends"),
    row_in("kill", kill, WAITING, "ngx.thread.kill(t) -> 1, or nil and a message"),
];

pub fn open(cx: Cx<'_>) {
    cx.library("ngx.thread", NATIVES);
}

fn spawn<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let f = call.arg(0);
    if !f.is_function() {
        return Err(call.arg_error(0, "Lua function expected"));
    }
    let args: Vec<Value<'gc>> = (1..call.len()).map(|i| call.arg(i)).collect();
    call.charge(50 + args.len());
    let parent = Value::thread(call.thread()).address();
    let (id, _) = call.spawn(f, &args);
    request(call)?.lua.threads.list.push(LightThread { id, parent, zombie: false });
    Ok(Outcome::Yield(Until::Spawned(id)))
}

/// A light thread among the arguments, which the entry thread is not; None: it was one, and is gone.
fn light_thread<'gc>(thread: Thread<'gc>, entry: Option<ThreadId>) -> Result<Option<ThreadId>, ()> {
    let t = thread.borrow();
    if t.was_spawned() && (t.id().is_none() || t.id() != entry) { Ok(t.id()) } else { Err(()) }
}

fn wait<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let me = Value::thread(call.thread()).address();
    let mut ids = Vec::with_capacity(call.len());
    if call.is_empty() {
        return Err(call.error("at least one coroutine should be specified"));
    }
    for i in 0..call.len() {
        let Some(thread) = call.arg(i).as_thread() else {
            return Err(call.arg_error(i, "lua thread expected"));
        };
        let id = match light_thread(thread, request(call)?.lua.threads.entry) {
            Ok(id) => id,
            Err(()) => return Err(call.error("attempt to wait on a coroutine that is not a user thread")),
        };
        let threads = &request(call)?.lua.threads.list;
        let known = id.and_then(|id| threads.iter().find(|t| t.id == id));
        let Some(known) = known else {
            return call.ret_nil_err("already waited or killed");
        };
        if known.parent != me {
            return Err(call.error("only the parent coroutine can wait on the thread"));
        }
        ids.push(known.id);
    }
    Ok(Outcome::Yield(Until::Finished(ids)))
}

fn kill<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let me = Value::thread(call.thread()).address();
    let Some(thread) = call.arg(0).as_thread() else {
        return Err(call.arg_error(0, "lua thread expected"));
    };
    let id = match light_thread(thread, request(call)?.lua.threads.entry) {
        Ok(id) => id,
        Err(()) => return call.ret_nil_err("not user thread"),
    };
    let threads = &mut request(call)?.lua.threads;
    let Some(at) = id.and_then(|id| threads.list.iter().position(|t| t.id == id)) else {
        return call.ret_nil_err("already waited or killed");
    };
    if threads.list[at].parent != me {
        return call.ret_nil_err("killer not parent");
    }
    let waiting = threads.list[at].id;
    if request(call)?.lua.awaits_subrequest(Some(waiting)) {
        return call.ret_nil_err("pending subrequests");
    }
    let threads = &mut request(call)?.lua.threads;
    let dead = threads.list.swap_remove(at);
    if dead.zombie {
        call.bury(dead.id);
        return call.ret_nil_err("already terminated");
    }
    threads.killed.push(dead.id);
    call.bury(dead.id);
    call.ret(Value::num(1.0))
}
