//! ngx.req: the request's method, target, arguments and headers. (Its body is in `body`.)
use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Value};

use super::header::{add_value, assign_request, lowercase_lookup, safe_name, safe_value};
use super::ngx_table::warn;
use super::{CLIENT, CORE, request, row_in};
use crate::encoding;
use crate::log::Level;
use crate::phase::{Phase, WITH_REQUEST};
use crate::request::Finish;

static NATIVES: &[Row] = &[
    row_in("get_method", get_method, WITH_REQUEST | CORE, "ngx.req.get_method() -> the method's name"),
    row_in("set_method", set_method, WITH_REQUEST | CORE, "ngx.req.set_method(ngx.HTTP_...)"),
    row_in("get_uri_args", get_uri_args, WITH_REQUEST | CORE, "ngx.req.get_uri_args([max [, table]]) -> table"),
    row_in("set_uri_args", set_uri_args, WITH_REQUEST | CLIENT, "ngx.req.set_uri_args(string or table)"),
    row_in("get_headers", get_headers, WITH_REQUEST | CORE, "ngx.req.get_headers([max [, raw]]) -> table"),
    row_in("set_header", set_header, WITH_REQUEST | CORE, "ngx.req.set_header(name, value or list of values)"),
    row_in("clear_header", clear_header, WITH_REQUEST | CORE, "ngx.req.clear_header(name)"),
    row_in("set_uri", set_uri, WITH_REQUEST | CLIENT, "ngx.req.set_uri(uri [, jump [, binary]])"),
    row_in(
        "raw_header",
        raw_header,
        WITH_REQUEST | CLIENT,
        "ngx.req.raw_header([no_request_line]) -> the head as it came",
    ),
    row_in("http_version", http_version, WITH_REQUEST | CLIENT, "ngx.req.http_version() -> 0.9, 1.0, 1.1 or 2.0"),
    row_in("start_time", start_time, WITH_REQUEST | CORE, "ngx.req.start_time() -> seconds since the epoch"),
    row_in(
        "is_internal",
        is_internal,
        WITH_REQUEST | CLIENT,
        "ngx.req.is_internal() -> whether it was redirected internally",
    ),
];

/// Methods that have a number, as `ngx.HTTP_...` gives them: bit 1 is GET.
pub const METHODS: [&str; 15] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "MKCOL",
    "COPY",
    "MOVE",
    "OPTIONS",
    "PROPFIND",
    "PROPPATCH",
    "LOCK",
    "UNLOCK",
    "PATCH",
    "TRACE",
];

/// Headers beyond so many are left off, unless Lua says otherwise.
const MAX_HEADERS: i64 = 100;

pub fn open(cx: Cx<'_>) {
    cx.library("ngx.req", NATIVES);
}

/// A method's name by its number.
pub(crate) fn method_name(n: f64) -> Option<&'static str> {
    METHODS.iter().enumerate().find(|(bit, _)| f64::from(2u32 << bit) == n).map(|(_, name)| *name)
}

fn get_method<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let cx = call.cx;
    let name = cx.intern(&request(call)?.method);
    call.ret(Value::str(name))
}

fn set_method<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let Some(n) = call.arg(0).as_num() else { return Err(call.error("bad method number")) };
    let Some(name) = method_name(n) else {
        let shown = String::from_utf8_lossy(&call.cx.raw_tostring(call.arg(0))).into_owned();
        return Err(call.error(format!("unsupported HTTP method: {shown}")));
    };
    request(call)?.method = name.into();
    Ok(Outcome::Return)
}

/// A limit: its default if it is left out or negative; 0 is none.
fn limit<'gc>(call: &Call<'_, 'gc>, default: i64) -> Result<usize, Value<'gc>> {
    let max = if call.arg(0).truthy() { call.integer(0)? } else { default };
    Ok(usize::try_from(max).unwrap_or(default as usize))
}

fn get_uri_args<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let max = limit(call, super::encoding::MAX_ARGS)?;
    let into = if call.arg(1).truthy() { Some(call.table(1)?) } else { None };
    let args = match &request(call)?.args {
        Some(text) => encoding::uri_args(text, max),
        None => encoding::Args::default(),
    };
    if args.truncated {
        super::log::debug(call, |_| format!("lua hit query args limit {max}"));
    }
    let t = match into {
        Some(t) => {
            t.borrow_mut(call.cx.mc).clear();
            t
        }
        None => call.cx.table(0, args.pairs.len()),
    };
    super::encoding::give_args(call, t, args, max)
}

fn set_uri_args<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 1 {
        return Err(call.error(format!("expecting 1 argument but seen {}", call.len())));
    }
    let args = match call.arg(0).kind() {
        Kind::Str(_) | Kind::Num(_) => call.bytes(0)?.to_vec(),
        Kind::Table(t) => super::encoding::encode_table(call, t)?,
        _ => {
            let got = call.arg(0).type_name();
            return Err(call.arg_error(0, &format!("string, number, or table expected, but got {got}")));
        }
    };
    request(call)?.args = Some(args);
    Ok(Outcome::Return)
}

fn get_headers<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let max = limit(call, MAX_HEADERS)?;
    let raw = call.arg(1).truthy();
    let cx = call.cx;
    let headers = &request(call)?.headers;
    let count = headers.len();
    let shown = if max == 0 { count } else { count.min(max) };
    let t = cx.table(0, shown);
    for (name, value) in headers.iter().take(shown) {
        let key = if raw { cx.intern(name) } else { cx.intern(&name.to_ascii_lowercase()) };
        add_value(cx, t, Value::str(key), cx.str(value));
    }
    call.charge(shown * 2);
    if !raw {
        lowercase_lookup(call, t);
    }
    call.push(Value::table(t));
    if shown < count {
        let words = format!("lua exceeding request header limit {count} > {max}");
        warn(request(call)?, Level::Debug, words.as_bytes());
        let word = cx.key("truncated");
        call.push(word);
    }
    Ok(Outcome::Return)
}

fn set_header<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    change_header(call, true)
}

/// `require "ngx.req".add_header`.
pub(crate) fn add_header<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    change_header(call, false)
}

fn change_header<'gc>(call: &mut Call<'_, 'gc>, replace: bool) -> Reply<'gc> {
    let cx = call.cx;
    if call.arg(0).is_nil() {
        return Err(call.error("bad 'name' argument: string expected, got nil"));
    }
    let name = safe_name(&cx.raw_tostring(call.arg(0))).into_owned();
    let v = call.arg(1);
    let values = match v.kind() {
        Kind::Nil if !replace => {
            return Err(call.error("bad 'value' argument: string or table expected, got nil"));
        }
        Kind::Nil => Vec::new(),
        Kind::Table(list) => {
            let n = list.length();
            if n == 0 && !replace {
                return Err(call.error("bad 'value' argument: non-empty table expected"));
            }
            call.charge(n);
            (1..=n).map(|i| safe_value(&cx.raw_tostring(list.get_int(i))).into_owned()).collect()
        }
        _ => vec![safe_value(&cx.raw_tostring(v)).into_owned()],
    };
    let request = request(call)?;
    if request.version < 10 {
        return Ok(Outcome::Return);
    }
    assign_request(&mut request.headers, name, values, replace);
    Ok(Outcome::Return)
}

fn clear_header<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let name = call.cx.raw_tostring(call.arg(0));
    request(call)?.headers.remove(&name);
    Ok(Outcome::Return)
}

fn set_uri<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let n = call.len();
    if !(1..=3).contains(&n) {
        return Err(call.error(format!("expecting 1, 2 or 3 arguments but seen {n}")));
    }
    let uri = call.bytes(0)?;
    if uri.is_empty() {
        return Err(call.error("attempt to use zero-length uri"));
    }
    let binary = n >= 3 && boolean(call, 2)?;
    if !binary {
        check_bytes(call, uri, "uri", " (maybe you want to set the 'binary' argument?)")?;
    }
    let jump = n >= 2 && boolean(call, 1)?;
    if jump && call.phase() & (Phase::Rewrite.bit() | Phase::ServerRewrite.bit()) == 0 {
        let context = request(call)?.phase.context();
        return Err(call.error(format!("API disabled in the context of {context}")));
    }
    if jump {
        super::control::check_abortable(call)?;
    }
    let request = request(call)?;
    request.uri = uri.to_vec();
    request.internal = true;
    if jump {
        request.finish.get_or_insert(Finish::Jump);
        return Ok(Outcome::Exit);
    }
    Ok(Outcome::Return)
}

fn boolean<'gc>(call: &Call<'_, 'gc>, i: usize) -> Result<bool, Value<'gc>> {
    match call.arg(i).kind() {
        Kind::Bool(b) => Ok(b),
        _ => Err(call.type_error(i, "boolean")),
    }
}

/// Refuses control bytes (a tab may stand).
pub(crate) fn check_bytes<'gc>(call: &Call<'_, 'gc>, uri: &[u8], what: &str, hint: &str) -> Result<(), Value<'gc>> {
    let Some(bad) = uri.iter().find(|c| matches!(**c, 0..=0x08 | 0x0a..=0x1f | 0x7f)) else { return Ok(()) };
    let mut shown = Vec::with_capacity(uri.len() + 8);
    for c in uri {
        match c {
            // (what the log escapes, this does)
            0..=0x1f | 0x7f..=0xff | b'"' | b'\\' => shown.extend_from_slice(format!("\\x{c:02X}").as_bytes()),
            _ => shown.push(*c),
        }
    }
    let shown = String::from_utf8_lossy(&shown).into_owned();
    Err(call.error(format!("unsafe byte \"0x{bad:02x}\" in {what} \"{shown}\"{hint}")))
}

fn raw_header<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let no_request_line = call.arg(0).truthy();
    let cx = call.cx;
    let head = &request(call)?.raw_head;
    let from = match memchr::memchr(b'\n', head) {
        Some(end) if no_request_line => end + 1,
        _ => 0,
    };
    let v = cx.str(&head[from..]);
    call.ret(v)
}

fn http_version<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let version = match request(call)?.version {
        0 => return call.ret(Value::NIL),
        v => f64::from(v) / 10.0,
    };
    call.ret(Value::num(version))
}

fn start_time<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let ms = request(call)?.start_ms;
    call.ret(Value::num(ms as f64 / 1000.0))
}

fn is_internal<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let internal = request(call)?.internal;
    call.ret(Value::bool(internal))
}
