//! The table `ngx` itself: constants, the fields that are computed (`ngx.status`, `ngx.ctx`, ...), ngx.worker, ngx.config, and
//! the guard of the global table.
use std::rc::Rc;

use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Value, row};

use super::{NULL, request, row_in, worker};
use crate::log::Level;
use crate::phase::{ANY, Phase, WITH_REQUEST};
use crate::request::Request;
use crate::state::CtxTable;
use crate::worker::Worker;

/// Constants of `ngx`: name, value.
const CONSTANTS: &[(&str, f64)] = &[
    ("OK", 0.0),
    ("ERROR", -1.0),
    ("AGAIN", -2.0),
    ("DONE", -4.0),
    ("DECLINED", -5.0),
    ("HTTP_GET", 2.0),
    ("HTTP_HEAD", 4.0),
    ("HTTP_POST", 8.0),
    ("HTTP_PUT", 16.0),
    ("HTTP_DELETE", 32.0),
    ("HTTP_MKCOL", 64.0),
    ("HTTP_COPY", 128.0),
    ("HTTP_MOVE", 256.0),
    ("HTTP_OPTIONS", 512.0),
    ("HTTP_PROPFIND", 1024.0),
    ("HTTP_PROPPATCH", 2048.0),
    ("HTTP_LOCK", 4096.0),
    ("HTTP_UNLOCK", 8192.0),
    ("HTTP_PATCH", 16384.0),
    ("HTTP_TRACE", 32768.0),
    ("HTTP_CONTINUE", 100.0),
    ("HTTP_SWITCHING_PROTOCOLS", 101.0),
    ("HTTP_OK", 200.0),
    ("HTTP_CREATED", 201.0),
    ("HTTP_ACCEPTED", 202.0),
    ("HTTP_NO_CONTENT", 204.0),
    ("HTTP_PARTIAL_CONTENT", 206.0),
    ("HTTP_SPECIAL_RESPONSE", 300.0),
    ("HTTP_MOVED_PERMANENTLY", 301.0),
    ("HTTP_MOVED_TEMPORARILY", 302.0),
    ("HTTP_SEE_OTHER", 303.0),
    ("HTTP_NOT_MODIFIED", 304.0),
    ("HTTP_TEMPORARY_REDIRECT", 307.0),
    ("HTTP_PERMANENT_REDIRECT", 308.0),
    ("HTTP_BAD_REQUEST", 400.0),
    ("HTTP_UNAUTHORIZED", 401.0),
    ("HTTP_PAYMENT_REQUIRED", 402.0),
    ("HTTP_FORBIDDEN", 403.0),
    ("HTTP_NOT_FOUND", 404.0),
    ("HTTP_NOT_ALLOWED", 405.0),
    ("HTTP_NOT_ACCEPTABLE", 406.0),
    ("HTTP_REQUEST_TIMEOUT", 408.0),
    ("HTTP_CONFLICT", 409.0),
    ("HTTP_GONE", 410.0),
    ("HTTP_UPGRADE_REQUIRED", 426.0),
    ("HTTP_TOO_MANY_REQUESTS", 429.0),
    ("HTTP_CLOSE", 444.0),
    ("HTTP_ILLEGAL", 451.0),
    ("HTTP_INTERNAL_SERVER_ERROR", 500.0),
    ("HTTP_METHOD_NOT_IMPLEMENTED", 501.0),
    ("HTTP_NOT_IMPLEMENTED", 501.0),
    ("HTTP_BAD_GATEWAY", 502.0),
    ("HTTP_SERVICE_UNAVAILABLE", 503.0),
    ("HTTP_GATEWAY_TIMEOUT", 504.0),
    ("HTTP_VERSION_NOT_SUPPORTED", 505.0),
    ("HTTP_INSUFFICIENT_STORAGE", 507.0),
    ("STDERR", 0.0),
    ("EMERG", 1.0),
    ("ALERT", 2.0),
    ("CRIT", 3.0),
    ("ERR", 4.0),
    ("WARN", 5.0),
    ("NOTICE", 6.0),
    ("INFO", 7.0),
    ("DEBUG", 8.0),
];

static META: &[Row] = &[
    row("__index", index, "ngx.status, ctx, headers_sent, is_subrequest"),
    row("__newindex", newindex, "ngx.status, ctx"),
];

static WORKER: &[Row] = &[
    row_in("id", worker_id, ANY, "ngx.worker.id() -> counts from 0"),
    row_in("count", worker_count, ANY, "ngx.worker.count() -> how many workers"),
    row_in("pid", worker_pid, ANY, "ngx.worker.pid() -> the process id"),
    row_in("pids", worker_pids, ANY, "ngx.worker.pids() -> the workers' process ids: they are threads of one"),
    row_in("exiting", worker_exiting, ANY, "ngx.worker.exiting() -> whether the worker is on its way out"),
];

static CONFIG: &[Row] = &[
    row_in("prefix", prefix, ANY, "ngx.config.prefix() -> the server's prefix"),
    row_in("nginx_configure", nginx_configure, ANY, "ngx.config.nginx_configure() -> the configure arguments"),
];

static GUARD: Row = row("__newindex", guard, "warns of new globals");
static ARG: &[Row] = &[
    row_in("__index", arg_index, Phase::Set.bit() | Phase::BodyFilter.bit(), "ngx.arg[i]"),
    row_in("__newindex", arg_newindex, Phase::BodyFilter.bit(), "ngx.arg[i] = v"),
];

/// What `ngx.config` says we are compatible with.
const NGINX_VERSION: f64 = 1_022_001.0;
const NGX_LUA_VERSION: f64 = 10_023.0;

pub fn open(cx: Cx<'_>, worker: &Rc<Worker>) {
    let _ = worker;
    let ngx = cx.library("ngx", &[]);
    for (name, v) in CONSTANTS {
        cx.set_field(ngx, name, Value::num(*v));
    }
    cx.set_field(ngx, "null", Value::light(NULL));
    ngx.set_metatable(cx.mc, Some(meta(cx, META)));
    cx.library("ngx.worker", WORKER);
    let config = cx.library("ngx.config", CONFIG);
    cx.set_field(config, "debug", Value::FALSE);
    cx.set_field(config, "subsystem", cx.str(b"http"));
    cx.set_field(config, "nginx_version", Value::num(NGINX_VERSION));
    cx.set_field(config, "ngx_lua_version", Value::num(NGX_LUA_VERSION));
    let arg = cx.table(0, 0);
    arg.set_metatable(cx.mc, Some(meta(cx, ARG)));
    cx.set_field(ngx, "arg", Value::table(arg));
    let guarded = cx.table(0, 1);
    cx.set_field(guarded, "__newindex", Value::row(&GUARD));
    cx.globals().set_metatable(cx.mc, Some(guarded));
}

/// A metatable of rows.
pub(crate) fn meta<'gc>(cx: Cx<'gc>, rows: &'static [Row]) -> vm::Table<'gc> {
    let meta = cx.table(0, rows.len());
    cx.register(meta, rows);
    meta
}

fn index<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let Some(name) = call.arg(1).as_str() else { return call.ret(Value::NIL) };
    match name.bytes() {
        b"status" => {
            need_request(call)?;
            let request = request(call)?;
            let status = match request.response.status {
                0 if request.output.started || request.response.sent => 200,
                0 if request.version == 9 => 9,
                status => status,
            };
            call.ret(Value::num(f64::from(status)))
        }
        b"ctx" => {
            let cx = call.cx;
            let request = request(call)?;
            if let Some(ctx) = &request.lua.ctx {
                let v = cx.fetch(&ctx.table);
                return call.ret(v);
            }
            let fresh = Value::table(cx.table(0, 4));
            request.lua.ctx = Some(CtxTable::new(cx.stash(fresh), &request.log));
            call.ret(fresh)
        }
        b"headers_sent" => {
            need_request(call)?;
            let request = request(call)?;
            let sent = request.output.started || request.response.sent;
            call.ret(Value::bool(sent))
        }
        b"is_subrequest" => {
            need_request(call)?;
            let sub = request(call)?.is_subrequest;
            call.ret(Value::bool(sub))
        }
        _ => call.ret(Value::NIL),
    }
}

fn need_request<'gc>(call: &mut Call<'_, 'gc>) -> Result<(), Value<'gc>> {
    if call.phase() & WITH_REQUEST != 0 {
        return Ok(());
    }
    Err(call.error("API disabled in the current context"))
}

fn newindex<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (t, key, v) = (call.table(0)?, call.arg(1), call.arg(2));
    match key.as_str().map(Call::as_bytes) {
        Some(b"status") => {
            need_request(call)?;
            let status = match vm::native::to_number(v) {
                Some(n) => n as i64,
                None => {
                    return Err(call.error(format!("number expected, got {}", v.type_name())));
                }
            };
            let request = request(call)?;
            if sent(request) {
                warn(request, Level::Error, b"attempt to set ngx.status after sending out response headers");
                return Ok(Outcome::Return);
            }
            request.response.status = u16::try_from(status).unwrap_or(0);
        }
        Some(b"ctx") => {
            if v.as_table().is_none() {
                return Err(call.error(format!("ctx should be a table while getting a {}", v.type_name())));
            }
            let stashed = call.cx.stash(v);
            let request = request(call)?;
            request.lua.ctx = Some(CtxTable::new(stashed, &request.log));
        }
        Some(b"headers_sent" | b"is_subrequest") => {
            return Err(call.error("attempt to write to a read-only field of ngx"));
        }
        _ => t.set(call.cx.mc, key, v).map_err(|bad| call.error(bad.message()))?,
    }
    Ok(Outcome::Return)
}

/// The response head is out, or as good as out. (The header filter may still change it.)
pub(crate) fn sent(request: &Request) -> bool {
    request.phase != Phase::HeaderFilter && (request.output.started || request.response.sent)
}

pub(crate) fn warn(request: &Request, level: Level, words: &[u8]) {
    if request.log.enabled(level) {
        request.log.write(level, words, Some(request));
    }
}

fn worker_id<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let id = worker(call)?.setup.worker_id;
    if call.phase() == Phase::Init.bit() {
        return call.ret(Value::NIL);
    }
    call.ret(Value::num(id as f64))
}

fn worker_count<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let n = worker(call)?.setup.worker_count;
    call.ret(Value::num(n as f64))
}

fn worker_pid<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.ret(Value::num(f64::from(std::process::id())))
}

fn worker_pids<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.phase() & (Phase::Init.bit() | Phase::InitWorker.bit()) != 0 {
        return call.ret_nil_err("API disabled in the current context");
    }
    let n = worker(call)?.setup.worker_count;
    let t = call.cx.table(n, 0);
    for i in 1..=n {
        t.set_int(call.cx.mc, i, Value::num(f64::from(std::process::id())));
    }
    call.ret(Value::table(t))
}

fn worker_exiting<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let exiting = worker(call)?.is_exiting();
    call.ret(Value::bool(exiting))
}

fn prefix<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    use std::os::unix::ffi::OsStrExt;
    let mut text = worker(call)?.setup.prefix.as_os_str().as_bytes().to_vec();
    if !text.ends_with(b"/") {
        text.push(b'/');
    }
    let v = call.cx.str(&text);
    call.ret(v)
}

fn nginx_configure<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let text = worker(call)?.setup.configure;
    let v = call.cx.str(text.as_bytes());
    call.ret(v)
}

/// A new global: assigned, and outside of init_by_lua* warned of, since all requests of the worker share it.
fn guard<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    t.set(call.cx.mc, call.arg(1), call.arg(2)).map_err(|bad| call.error(bad.message()))?;
    if call.phase() != Phase::Init.bit() {
        let mut words = b"[lua] _G write guard:12: __newindex(): writing a global Lua variable ('".to_vec();
        words.extend_from_slice(&call.cx.raw_tostring(call.arg(1)));
        words.extend_from_slice(
            b"') which may lead to race conditions between concurrent requests, so prefer the use of 'local' variables\n",
        );
        words.extend_from_slice(&call.traceback(1));
        warn(request(call)?, Level::Warn, &words);
    }
    Ok(Outcome::Return)
}

fn arg_index<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let i = call.integer(1)?;
    let cx = call.cx;
    let request = request(call)?;
    let v = match (&request.lua.filter, i) {
        (Some(filter), 1) if request.phase == Phase::BodyFilter => cx.str(&filter.chunk),
        (Some(filter), 2) if request.phase == Phase::BodyFilter => Value::bool(filter.last),
        _ => match usize::try_from(i - 1).ok().and_then(|i| request.lua.if_seldom()?.set_args.get(i)) {
            Some(arg) => cx.str(arg),
            None => Value::NIL,
        },
    };
    call.ret(v)
}

fn arg_newindex<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let i = call.integer(1)?;
    match i {
        1 => {
            let mut chunk = Vec::new();
            let v = call.arg(2);
            if !v.is_nil() {
                super::output::write_argument(call, 2, &mut chunk)?;
            }
            let filter = request(call)?.lua.filter.get_or_insert_default();
            filter.chunk = chunk;
        }
        2 => {
            let last = call.arg(2).truthy();
            request(call)?.lua.filter.get_or_insert_default().last = last;
        }
        _ => return Err(call.error(format!("bad argument #2 to '?' (index {i} out of range)"))),
    }
    Ok(Outcome::Return)
}
