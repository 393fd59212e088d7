//! What `require` finds without a file: OpenResty's modules that are native here.
//!
//! lua-resty-core is built in, so its modules are tables with a version and the few names that libraries use.
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Value};

use super::ngx_table::{meta, warn};
use super::{header, re, req, request, row_in, semaphore, ssl, worker};
use crate::encoding;
use crate::log::Level;
use crate::now::unix_ms;
use crate::phase::{ANY, Phase, WITH_REQUEST};

static BASE64: &[Row] = &[
    row_in("encode_base64url", encode_base64url, ANY, "base64.encode_base64url(bytes) -> text, or nil and a message"),
    row_in("decode_base64url", decode_base64url, ANY, "base64.decode_base64url(text) -> bytes, or nil and a message"),
];
static RESP: &[Row] = &[
    row_in("add_header", header::add_header, WITH_REQUEST, "resp.add_header(name, value)"),
    row_in("set_status", set_status, WITH_REQUEST, "resp.set_status(status, reason)"),
    row_in("bypass_if_checks", nothing, WITH_REQUEST, "resp.bypass_if_checks()"),
];
static REQ: &[Row] = &[row_in("add_header", req::add_header, WITH_REQUEST, "req.add_header(name, value)")];
static ERRLOG: &[Row] = &[
    row_in("raw_log", raw_log, ANY, "errlog.raw_log(level, text): logs without a position"),
    row_in("get_sys_filter_level", get_sys_filter_level, ANY, "errlog.get_sys_filter_level() -> error_log's level"),
    row_in("set_filter_level", set_filter_level, ANY, "errlog.set_filter_level(level) -> true, or nil and a message"),
    row_in(
        "get_logs",
        get_logs,
        ANY,
        "errlog.get_logs([max [, list]]) -> a list: level, time, line and so on; or nil and a message",
    ),
];
static PROCESS: &[Row] = &[
    row_in("type", process_type, ANY, "process.type() -> \"worker\" or \"single\""),
    row_in("get_master_pid", get_master_pid, ANY, "process.get_master_pid() -> the process id"),
    row_in(
        "signal_graceful_exit",
        signal_graceful_exit,
        ANY,
        "process.signal_graceful_exit(): the workers end gracefully and are replaced",
    ),
    row_in("enable_privileged_agent", no_agent, ANY, "process.enable_privileged_agent() -> nil and a message"),
];
static BASE: &[Row] = &[
    row_in("get_request", get_request, ANY, "base.get_request() -> something, if there is a request"),
    row_in("allows_subsystem", allows_subsystem, ANY, "base.allows_subsystem(...): fails unless http is among them"),
    row_in("set_string_buf_size", nothing, ANY, "base.set_string_buf_size(n)"),
    row_in("get_string_buf_size", string_buf_size, ANY, "base.get_string_buf_size() -> 4096"),
    row_in("ref_in_table", ref_in_table, ANY, "base.ref_in_table(t, v) -> where it was put"),
];
static REGEX: &[Row] = &[
    row_in("set_buf_grow_ratio", nothing, ANY, "regex.set_buf_grow_ratio(n)"),
    row_in("is_regex_cache_empty", cache_empty, ANY, "regex.is_regex_cache_empty() -> boolean"),
];
static UTILS: &[Row] =
    &[row_in("str_replace_char", str_replace_char, ANY, "utils.str_replace_char(text, from, to) -> text")];
static TIME: &[Row] = &[
    row_in("monotonic_msec", monotonic_msec, ANY, "time.monotonic_msec() -> milliseconds"),
    row_in("monotonic_time", monotonic_time, ANY, "time.monotonic_time() -> seconds"),
];

/// Modules by name.
const MODULES: &[(&str, &[Row])] = &[
    ("ngx.re", re::MODULE),
    ("ngx.base64", BASE64),
    ("ngx.resp", RESP),
    ("ngx.req", REQ),
    ("ngx.errlog", ERRLOG),
    ("ngx.process", PROCESS),
    ("ngx.ssl", ssl::MODULE),
    ("resty.core", &[]),
    ("resty.core.base", BASE),
    ("resty.core.base64", &[]),
    ("resty.core.coroutine", &[]),
    ("resty.core.ctx", &[]),
    ("resty.core.exit", &[]),
    ("resty.core.hash", &[]),
    ("resty.core.misc", &[]),
    ("resty.core.ndk", &[]),
    ("resty.core.param", &[]),
    ("resty.core.phase", &[]),
    ("resty.core.regex", REGEX),
    ("resty.core.request", &[]),
    ("resty.core.response", &[]),
    ("resty.core.shdict", &[]),
    ("resty.core.socket", &[]),
    ("resty.core.time", TIME),
    ("resty.core.uri", &[]),
    ("resty.core.utils", UTILS),
    ("resty.core.var", &[]),
    ("resty.core.worker", &[]),
];

/// The lua-resty-core that goes with the version `ngx.config.ngx_lua_version` names.
const VERSION: &str = "0.1.25";

/// What `resty.core.base` calls the results of C functions.
const RESULTS: &[(&str, f64)] = &[
    ("FFI_OK", 0.0),
    ("FFI_NO_REQ_CTX", -100.0),
    ("FFI_BAD_CONTEXT", -101.0),
    ("FFI_ERROR", -1.0),
    ("FFI_AGAIN", -2.0),
    ("FFI_BUSY", -3.0),
    ("FFI_DONE", -4.0),
    ("FFI_DECLINED", -5.0),
    ("FFI_ABORT", -6.0),
];

/// Registers the modules; after the standard library.
pub fn open(cx: Cx<'_>) {
    for (name, rows) in MODULES {
        let module = meta(cx, rows);
        cx.set_field(module, "version", cx.str(VERSION.as_bytes()));
        if *name == "resty.core.base" {
            for (result, n) in RESULTS {
                cx.set_field(module, result, Value::num(*n));
            }
            for (field, from) in [("new_tab", "new"), ("clear_tab", "clear")] {
                cx.set_field(module, field, stdlib::table::require(cx, from));
            }
        }
        let is_loaded = name.starts_with("resty.core");
        let make = if is_loaded { stdlib::package::provide } else { stdlib::package::preload };
        make(cx, name, Value::table(module));
    }
    stdlib::package::preload(cx, "ngx.semaphore", semaphore::module(cx));
    stdlib::package::preload(cx, "ngx.pipe", super::pipe::module(cx));
}

fn nothing<'gc>(_: &mut Call<'_, 'gc>) -> Reply<'gc> {
    Ok(Outcome::Return)
}

fn encode_base64url<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let Some(bytes) = call.arg(0).as_str().map(Call::as_bytes) else {
        return call.ret_nil_err("must provide a string");
    };
    call.reserve(bytes.len() * 2)?;
    let v = call.string(encoding::encode_base64url(bytes))?;
    call.ret(v)
}

fn decode_base64url<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let Some(text) = call.arg(0).as_str().map(Call::as_bytes) else {
        return call.ret_nil_err("must provide a string");
    };
    call.reserve(text.len() * 2)?;
    match encoding::decode_base64url(text) {
        Some(bytes) => {
            let v = call.string(bytes)?;
            call.ret(v)
        }
        None => call.ret_nil_err("invalid input"),
    }
}

/// (The reason phrase is the connection's affair.)
fn set_status<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let status = call.integer(0)?;
    let request = request(call)?;
    if super::ngx_table::sent(request) {
        warn(request, Level::Error, b"attempt to set ngx.status after sending out response headers");
        return Ok(Outcome::Return);
    }
    request.response.status = u16::try_from(status).unwrap_or(0);
    Ok(Outcome::Return)
}

fn raw_log<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let Some(n) = call.arg(0).as_num() else {
        return Err(call.error("bad argument #1 to 'raw_log' (must be a number)"));
    };
    let Some(text) = call.arg(1).as_str().map(Call::as_bytes) else {
        return Err(call.error("bad argument #2 to 'raw_log' (must be a string)"));
    };
    let Some(level) = Level::from_number(n as i64) else { return Err(call.error("bad log level")) };
    call.charge(text.len() / 8);
    warn(request(call)?, level, text);
    Ok(Outcome::Return)
}

fn get_sys_filter_level<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let log = request(call)?.log.clone();
    let highest = (0..=8).rev().filter_map(Level::from_number).find(|level| log.enabled(*level));
    call.ret(Value::num(highest.map_or(0.0, |level| f64::from(level as u8))))
}

const NO_CAPTURE: &str = "directive \"lua_capture_error_log\" is not set";

fn set_filter_level<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !call.arg(0).truthy() {
        return call.ret_nil_err("missing \"level\" argument");
    }
    let level = call.integer(0)?;
    let Some(captured) = worker(call)?.setup.captured.clone() else { return call.ret_nil_err(NO_CAPTURE) };
    match Level::from_number(level) {
        Some(level) => captured.set_filter(level),
        None => return call.ret_nil_err(format!("bad log level: {level}")),
    }
    call.ret(Value::TRUE)
}

/// Takes the lines out of the ring: at most so many, the oldest first. What the list had behind them stays, after a nil.
fn get_logs<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let max = if call.arg(0).is_nil() { 10 } else { call.integer(0)? };
    let list = if call.arg(1).is_nil() { call.cx.table(0, 0) } else { call.table(1)? };
    let Some(captured) = worker(call)?.setup.captured.clone() else { return call.ret_nil_err(NO_CAPTURE) };
    let mut at = 1;
    for _ in 0..max.max(0) {
        let Some(line) = captured.pop() else { break };
        let text = call.string(line.text)?;
        call.charge(4);
        for value in [Value::num(f64::from(line.level as u8)), Value::num(line.time), text] {
            list.set_int(call.cx.mc, at, value);
            at += 1;
        }
    }
    list.set_int(call.cx.mc, at, Value::NIL);
    call.ret(Value::table(list))
}

fn process_type<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let single = worker(call)?.setup.single;
    let v = call.cx.key(match call.phase() {
        _ if single => "single",
        bits if bits == Phase::Init.bit() => "master",
        _ => "worker",
    });
    call.ret(v)
}

/// Who takes the signals: the parent process, or with `master_process off` this one.
fn master<'gc>(call: &mut Call<'_, 'gc>) -> Result<rustix::process::Pid, Value<'gc>> {
    use rustix::process::{getpid, getppid};
    Ok(if worker(call)?.setup.single { getpid() } else { getppid().unwrap_or_else(getpid) })
}

fn get_master_pid<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let pid = master(call)?.as_raw_nonzero().get();
    call.ret(Value::num(f64::from(pid)))
}

/// The worker ends with its last request and another takes its place: here all of them, as at a reload. Without a master nobody
/// takes its place.
fn signal_graceful_exit<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    use rustix::process::{Signal, kill_process};
    let signal = if worker(call)?.setup.single { Signal::QUIT } else { Signal::HUP };
    match kill_process(master(call)?, signal) {
        Ok(()) => Ok(Outcome::Return),
        Err(error) => Err(call.error(stdlib::io_error(&error.into()))),
    }
}

fn no_agent<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.phase() != Phase::Init.bit() {
        return call.ret_nil_err("API disabled in the current context");
    }
    call.ret_nil_err("no privileged agent process: workers are threads of one process")
}

fn get_request<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let some = call.phase() & WITH_REQUEST != 0;
    call.ret(if some { Value::light(1) } else { Value::NIL })
}

fn allows_subsystem<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let http = (0..call.len()).any(|i| call.arg(i).as_str().is_some_and(|s| s.bytes() == b"http"));
    if http { Ok(Outcome::Return) } else { Err(call.error("unsupported subsystem: http")) }
}

fn string_buf_size<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.ret(Value::num(4096.0))
}

/// Free places are a list that begins at item 0.
fn ref_in_table<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (t, v) = (call.table(0)?, call.arg(1));
    if v.is_nil() {
        return call.ret(Value::num(-1.0));
    }
    let free = t.get_int(0).as_num().filter(|n| *n >= 1.0).map(|n| n as usize);
    let at = match free {
        Some(at) => {
            let next = t.get_int(at);
            t.borrow_mut(call.cx.mc).put(0.0, next);
            at
        }
        None => t.length() + 1,
    };
    t.set_int(call.cx.mc, at, v);
    call.ret(Value::num(at as f64))
}

fn cache_empty<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.ret(Value::FALSE)
}

fn str_replace_char<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (text, from, to) = (call.bytes(0)?, call.bytes(1)?, call.bytes(2)?);
    let (&[from], &[to]) = (from, to) else { return Err(call.error("bad argument: one character expected")) };
    let out = text.iter().map(|c| if *c == from { to } else { *c }).collect();
    let v = call.string(out)?;
    call.ret(v)
}

fn monotonic_msec<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.ret(Value::num(monotonic()))
}

fn monotonic_time<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.ret(Value::num(monotonic() / 1000.0))
}

/// Milliseconds that never go back.
fn monotonic() -> f64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<(Instant, u64)> = OnceLock::new();
    let (start, offset) = START.get_or_init(|| (Instant::now(), unix_ms()));
    offset.saturating_add(u64::try_from(start.elapsed().as_millis()).unwrap_or(0)) as f64
}
