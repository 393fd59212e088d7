//! ngx.timer.
use vm::{Call, Cx, Reply, Row, Value};

use super::{request, row_in, worker};
use crate::phase::{ANY, Phase};
use crate::timers::{self, Callback};

const LEGAL: u32 = ANY & !(Phase::Init.bit() | Phase::ExitWorker.bit() | Phase::WorkerThread.bit());

pub static NATIVES: &[Row] = &[
    row_in("at", at, LEGAL, "ngx.timer.at(delay, f, ...) -> 1, or nil and a message"),
    row_in("every", every, LEGAL, "ngx.timer.every(delay, f, ...) -> 1, or nil and a message"),
    row_in("running_count", running_count, LEGAL, "ngx.timer.running_count() -> timers whose function runs"),
    row_in("pending_count", pending_count, LEGAL, "ngx.timer.pending_count() -> timers that wait"),
];

pub fn open(cx: Cx<'_>) {
    cx.library("ngx.timer", NATIVES);
}

fn at<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    start(call, false)
}

fn every<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    start(call, true)
}

fn start<'gc>(call: &mut Call<'_, 'gc>, every: bool) -> Reply<'gc> {
    if call.len() < 2 {
        return Err(call.error(format!("expecting at least 2 arguments but got {}", call.len())));
    }
    let delay = call.number(0)?;
    let Some(duration) = super::time::seconds(delay) else {
        return Err(call.error(format!("invalid timer delay \"{}\"", delay * 1000.0)));
    };
    if every && duration.is_zero() {
        return Err(call.error("delay cannot be zero"));
    }
    let function = call.arg(1);
    if !function.is_function() {
        return Err(call.arg_error(1, "Lua function expected"));
    }
    let owner = worker(call)?;
    if owner.is_exiting() && !duration.is_zero() {
        return call.ret_nil_err("process exiting");
    }
    if owner.timers.full() {
        return call.ret_nil_err("too many pending timers");
    }
    let args = (2..call.len()).map(|i| call.cx.stash(call.arg(i))).collect();
    let callback = Callback { function: call.cx.stash(function), args };
    timers::start(&owner, request(call)?, duration, every, callback);
    call.ret(Value::num(1.0))
}

fn running_count<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let n = worker(call)?.timers.running.get();
    call.ret(Value::num(n as f64))
}

fn pending_count<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let n = worker(call)?.timers.pending.get();
    call.ret(Value::num(n as f64))
}
