//! The coroutine library (Lua 5.1 manual 5.2; isyieldable and running's second result as in 5.2).
use vm::{Call, Cx, Outcome, Reply, Row, Status, Thread, Value, row};

pub static NATIVES: &[Row] = &[
    row("create", create, "create(f) -> a coroutine that will run f"),
    row("isyieldable", isyieldable, "isyieldable() -> whether the running coroutine can yield"),
    row("resume", resume, "resume(co, ...) -> true and what it yields or returns, or false and the error"),
    row("running", running, "running() -> the running coroutine, and whether it is the main one"),
    row("status", status, "status(co) -> running, suspended, normal or dead"),
    row("wrap", wrap, "wrap(f) -> a function that resumes the coroutine and raises its errors"),
    row("yield", yield_, "yield(...) -> what the next resume passes"),
];

static WRAPPED: Row = row("wrapped", wrapped, "the function made by coroutine.wrap");

/// What OpenResty's LuaJIT adds: `require "thread.exdata"` and `require "thread.exdata2"` give these. Without an FFI the value may
/// be any; without one set it is nil.
static EXDATA: &[Row] = &[
    row("exdata", |call| exdata(call, 0), "exdata([v]) -> the running coroutine's value, or sets it"),
    row("exdata2", |call| exdata(call, 1), "exdata2([v]) -> the running coroutine's second value, or sets it"),
];

/// Registers `thread.exdata` and `thread.exdata2`.
pub fn preload(cx: Cx<'_>) {
    for row in EXDATA {
        crate::package::preload(cx, &format!("thread.{}", row.name), Value::row(row));
    }
}

fn exdata<'gc>(call: &mut Call<'_, 'gc>, which: usize) -> Reply<'gc> {
    let co = call.thread();
    if call.is_none(0) {
        let v = call.cx.exdata(co, which).unwrap_or(Value::NIL);
        return call.ret(v);
    }
    call.cx.set_exdata(co, which, call.arg(0));
    Ok(Outcome::Return)
}

/// Registers the library.
pub fn open(cx: Cx<'_>) {
    cx.library("coroutine", NATIVES);
}

fn thread<'gc>(call: &Call<'_, 'gc>, i: usize) -> Result<Thread<'gc>, Value<'gc>> {
    call.arg(i).as_thread().ok_or_else(|| call.arg_error(i, "coroutine expected"))
}

/// A coroutine that inherits the running one's environment.
fn new<'gc>(call: &Call<'_, 'gc>, f: Value<'gc>) -> Thread<'gc> {
    let co = call.cx.coroutine(f);
    let env = call.cx.thread_env(call.thread());
    if !vm::value::Table::ptr_eq(env, call.cx.globals()) {
        call.cx.set_thread_env(co, env);
    }
    co
}

fn create<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let f = call.callable(0)?;
    call.charge(8);
    let co = new(call, f);
    call.ret(Value::thread(co))
}

fn resume<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    thread(call, 0)?;
    Ok(Outcome::Resume)
}

fn wrap<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let f = call.callable(0)?;
    call.charge(8);
    let co = new(call, f);
    let f = call.cx.native(&WRAPPED, &[Value::thread(co)]);
    call.ret(f)
}

fn wrapped<'gc>(_: &mut Call<'_, 'gc>) -> Reply<'gc> {
    Ok(Outcome::Wrap)
}

fn yield_<'gc>(_: &mut Call<'_, 'gc>) -> Reply<'gc> {
    Ok(Outcome::CoYield)
}

fn isyieldable<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let main = call.is_main();
    call.ret(Value::bool(!main))
}

fn running<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let co = call.thread();
    let main = call.is_main();
    let value = call.cx.expose(co);
    call.push(value);
    call.push(Value::bool(main));
    Ok(Outcome::Return)
}

fn status<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let co = thread(call, 0)?;
    // (the running thread's object is not borrowed while a native runs)
    let name = match co.borrow().status() {
        Status::Running => "running",
        Status::Suspended => "suspended",
        Status::Normal => "normal",
        // A light thread whose results nobody has asked for yet.
        Status::Done | Status::Failed if co.borrow().is_zombie() => "zombie",
        Status::Done | Status::Failed => "dead",
    };
    let name = call.cx.intern(name.as_bytes());
    call.ret(Value::str(name))
}
