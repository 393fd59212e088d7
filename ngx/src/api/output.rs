//! ngx.say, print, flush, eof, send_headers: the response body.
use vm::value::Kind;
use vm::value::number::write_number;
use vm::value::table::TableRef;
use vm::{Call, Outcome, Reply, Row, Table, Value, What};

use super::{NULL, request, row_in};
use crate::phase::REQUEST;
use crate::request::Request;

pub static NATIVES: &[Row] = &[
    row_in("print", print, REQUEST, "ngx.print(...) -> 1, or nil and a message: sends the arguments"),
    row_in("say", say, REQUEST, "ngx.say(...) -> 1, or nil and a message: sends the arguments and a newline"),
    row_in("flush", flush, REQUEST, "ngx.flush([wait]) -> 1, or nil and a message: sends what has gathered"),
    row_in("eof", eof, REQUEST, "ngx.eof() -> 1, or nil and a message: ends the response"),
    row_in(
        "send_headers",
        send_headers,
        REQUEST,
        "ngx.send_headers() -> 1, or nil and a message: fixes the response head",
    ),
];

/// Lists inside lists, no deeper than this.
const MAX_DEPTH: usize = 100;

fn print<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    emit(call, "print", false)
}

fn say<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    emit(call, "say", true)
}

fn emit<'gc>(call: &mut Call<'_, 'gc>, name: &str, newline: bool) -> Reply<'gc> {
    let _ = name;
    let mut gathered = Vec::new();
    // The usual call, one string, is appended without a detour.
    if !(call.len() == 1 && call.arg(0).as_str().is_some()) {
        for i in 0..call.len() {
            write_argument(call, i, &mut gathered)?;
        }
    }
    let single = call.arg(0).as_str().filter(|_| call.len() == 1).map(Call::as_bytes);
    let bytes = single.unwrap_or(&gathered);
    call.reserve(bytes.len() + 1)?;
    if let Some(words) = mute(request(call)?) {
        return call.ret_nil_err(words);
    }
    let head = request(call)?.method == "HEAD";
    let request = request(call)?;
    if request.output.eof {
        return call.ret_nil_err("seen eof");
    }
    request.output.started = true;
    if head {
        return call.ret_nil_err("header only");
    }
    request.output.pending.extend_from_slice(bytes);
    if newline {
        request.output.pending.push(b'\n');
    }
    sent(call)
}

/// 1; where nothing is to be held back (postpone_output 0 or 1), or filters look at the pieces, after it is on its way, or nil
/// and a message.
fn sent<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let request = request(call)?;
    let at_once = !request.is_subrequest && request.exchange.postpone_output() <= 1;
    let looked_at = request.output.piecewise || request.output.head_first && !request.response.sent;
    if !at_once && !looked_at {
        return call.ret(Value::num(1.0));
    }
    // The scheduler sends between slices: the filters see this piece before the next one is made.
    request.output.piece = true;
    request.output.flush |= at_once;
    Outcome::park(What::Flush, std::future::ready(()), |call, ()| match mute(super::request(call)?) {
        Some(words) => call.ret_nil_err(words),
        None => call.ret(Value::num(1.0)),
    })
}

/// An argument of print, say or log as bytes; lists are written item by item.
pub(crate) fn write_argument<'gc>(call: &Call<'_, 'gc>, i: usize, out: &mut Vec<u8>) -> Result<(), Value<'gc>> {
    let v = call.arg(i);
    match v.kind() {
        Kind::Table(t) => write_list(t, out, false, 0).map_err(|bad| call.arg_error(i, &bad)),
        _ if write_scalar(v, out) => Ok(()),
        _ => Err(call.arg_error(
            i,
            &format!("string, number, boolean, nil, ngx.null, or array table expected, but got {}", v.type_name()),
        )),
    }
}

pub(crate) fn write_scalar(v: Value<'_>, out: &mut Vec<u8>) -> bool {
    match v.kind() {
        Kind::Str(s) => out.extend_from_slice(s.bytes()),
        Kind::Num(n) => write_number(n, out),
        Kind::Nil => out.extend_from_slice(b"nil"),
        Kind::Bool(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
        Kind::Light(NULL) => out.extend_from_slice(b"null"),
        _ => return false,
    }
    true
}

/// The items of a list, lists inside it too, one after the other. `strict`: strings and numbers only.
pub(crate) fn write_list(t: Table<'_>, out: &mut Vec<u8>, strict: bool, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("too many nested tables".into());
    }
    let length = match t.borrow().list_len() {
        Some(length) => length,
        None => array_len(t)?,
    };
    for i in 1..=length {
        let v = t.get_int(i);
        match v.kind() {
            Kind::Table(inner) => write_list(inner, out, strict, depth + 1)?,
            Kind::Nil | Kind::Bool(_) | Kind::Light(_) if strict => {
                return Err(format!("bad data type {} found", v.type_name()));
            }
            _ if write_scalar(v, out) => {}
            _ => return Err(format!("bad data type {} found", v.type_name())),
        }
    }
    Ok(())
}

/// The largest key. Every key must be a positive integer; holes count as nil.
fn array_len(t: Table<'_>) -> Result<usize, String> {
    let mut max = 0.0;
    let mut key = Value::NIL;
    while let Ok(Some((k, _))) = t.next(key) {
        match k.as_num() {
            Some(n) if n >= 1.0 && n.trunc() == n => max = f64::max(max, n),
            _ => return Err("non-array table found".into()),
        }
        key = k;
    }
    if max > (t.borrow().count() * 2 + 1000) as f64 {
        return Err("non-array table found".into());
    }
    Ok(max as usize)
}

/// Why nothing can be sent.
fn mute(request: &Request) -> Option<&'static str> {
    if request.lua.has_raw_socket() {
        return Some("raw request socket acquired");
    }
    request.output.broken.then_some("nginx output filter error")
}

fn flush<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let wait = match call.arg(0).kind() {
        Kind::Nil => false,
        Kind::Bool(wait) => wait,
        _ => return Err(call.type_error(0, "boolean")),
    };
    if let Some(words) = mute(request(call)?) {
        return call.ret_nil_err(words);
    }
    let req = request(call)?;
    if req.output.started && req.method == "HEAD" {
        return call.ret_nil_err("header only");
    }
    if req.output.eof {
        return call.ret_nil_err("seen eof");
    }
    if !req.output.started && !req.response.sent {
        return call.ret_nil_err("nothing to flush");
    }
    if req.version < 10
        || (req.version == 10
            && req.exchange.lua_conf().http10_buffering
            && !req.response.headers.contains(b"content-length"))
    {
        super::log::debug(call, |_| "lua http 1.0 buffering makes ngx.flush() a no-op".into());
        return call.ret_nil_err("buffering");
    }
    req.output.flush = true;
    if !wait && !req.output.piecewise {
        return call.ret(Value::num(1.0));
    }
    // The scheduler sends between slices: by the time this is resumed the bytes are on their way. (A body filter sees each flush.)
    Outcome::park(What::Flush, std::future::ready(()), |call, ()| {
        if request(call)?.output.broken {
            return call.ret_nil_err("client aborted");
        }
        call.ret(Value::num(1.0))
    })
}

fn eof<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if let Some(words) = mute(request(call)?) {
        return call.ret_nil_err(words);
    }
    let request = request(call)?;
    if request.output.eof {
        return call.ret_nil_err("seen eof");
    }
    request.output.started = true;
    request.output.eof = true;
    sent(call)
}

/// The head goes through its filters before Lua goes on.
fn send_headers<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let request = request(call)?;
    request.output.started = true;
    if !request.output.head_first || request.response.sent {
        return call.ret(Value::num(1.0));
    }
    // The filter sees the head before the next line runs.
    request.output.piece = true;
    Outcome::park(What::Flush, std::future::ready(()), |call, ()| call.ret(Value::num(1.0)))
}
