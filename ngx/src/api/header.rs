//! ngx.header and ngx.resp: the response headers.
use std::borrow::Cow;

use crate::bytes::Bytes;
use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Value};

use super::ngx_table::{meta, sent, warn};
use super::{CORE, request, row_in};
use crate::headers::Headers;
use crate::log::Level;
use crate::phase::WITH_REQUEST;
use crate::request::Request;

static META: &[Row] = &[
    row_in("__index", index, WITH_REQUEST | CORE, "ngx.header.NAME -> value, list of values or nil"),
    row_in("__newindex", newindex, WITH_REQUEST | CORE, "ngx.header.NAME = value, list of values or nil"),
];

static RESP: &[Row] = &[row_in(
    "get_headers",
    get_headers,
    WITH_REQUEST | CORE,
    "ngx.resp.get_headers([max [, raw]]) -> table of the response headers",
)];

/// Headers that exist once only: a list of values leaves the last one.
const SINGLE: &[&[u8]] =
    &[b"content-type", b"content-length", b"location", b"content-encoding", b"etag", b"last-modified"];

pub fn open(cx: Cx<'_>) {
    let ngx = cx.library("ngx", &[]);
    let header = cx.table(0, 0);
    header.set_metatable(cx.mc, Some(meta(cx, META)));
    cx.set_field(ngx, "header", Value::table(header));
    cx.library("ngx.resp", RESP);
}

/// A value without bytes that would end the header line: control characters are percent-encoded.
pub(crate) fn safe_value(value: &[u8]) -> Cow<'_, [u8]> {
    let unsafe_byte = |c: &u8| matches!(*c, 0..=0x08 | 0x0a..=0x1f | 0x7f);
    if !value.iter().any(unsafe_byte) {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len() + 8);
    for c in value {
        if unsafe_byte(c) { out.extend_from_slice(format!("%{c:02X}").as_bytes()) } else { out.push(*c) }
    }
    Cow::Owned(out)
}

/// A header name: bytes that would end or split the line are percent-encoded.
pub(crate) fn safe_name(name: &[u8]) -> Cow<'_, [u8]> {
    let unsafe_byte = |c: &u8| matches!(*c, 0..=0x20 | 0x7f | b':' | b'"' | b'(' | b')' | b',' | b'/' | b';' | b'<'..=b'@' | b'['..=b']' | b'{' | b'}');
    if !name.iter().any(unsafe_byte) {
        return Cow::Borrowed(name);
    }
    let mut out = Vec::with_capacity(name.len() + 8);
    for c in name {
        if unsafe_byte(c) { out.extend_from_slice(format!("%{c:02X}").as_bytes()) } else { out.push(*c) }
    }
    Cow::Owned(out)
}

fn index<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let name = call.bytes(1)?;
    let cx = call.cx;
    let request = request(call)?;
    let underscores = request.exchange.lua_conf().transform_underscores;
    let name = dashed(name, underscores);
    let mut v = values(cx, &request.response.headers, &name);
    if name.eq_ignore_ascii_case(b"content-type") && request.response.headers.first(&name).is_some_and(|v| v.is_empty())
    {
        // (removed, and none by default either)
        v = Value::NIL;
    } else if v.is_nil() && name.eq_ignore_ascii_case(b"content-type") && request.output.started {
        let conf = request.exchange.lua_conf();
        if conf.use_default_type {
            v = cx.str(&conf.default_type);
        }
    }
    call.ret(v)
}

/// One value as a string, several as a list, none as nil.
pub(crate) fn values<'gc>(cx: Cx<'gc>, headers: &Headers, name: &[u8]) -> Value<'gc> {
    let mut all = headers.all(name);
    let Some(first) = all.next() else { return Value::NIL };
    let Some(second) = all.next() else { return cx.str(first) };
    let list = cx.table(4, 0);
    for (i, v) in [first, second].into_iter().chain(all).enumerate() {
        list.set_int(cx.mc, i + 1, cx.str(v));
    }
    Value::table(list)
}

fn dashed(name: &[u8], underscores: bool) -> Cow<'_, [u8]> {
    if underscores && name.contains(&b'_') {
        Cow::Owned(name.iter().map(|c| if *c == b'_' { b'-' } else { *c }).collect())
    } else {
        Cow::Borrowed(name)
    }
}

fn newindex<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    change(call, 1, true)
}

/// `require "ngx.resp".add_header`.
pub(crate) fn add_header<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.arg(1).is_nil() {
        return Err(call.error("invalid header value"));
    }
    change(call, 0, false)
}

/// Sets or adds the response header whose name is argument `at`, its value behind it.
fn change<'gc>(call: &mut Call<'_, 'gc>, at: usize, replace: bool) -> Reply<'gc> {
    let cx = call.cx;
    let name = cx.raw_tostring(call.arg(at));
    let v = call.arg(at + 1);
    let request_ref = request(call)?;
    if sent(request_ref) {
        warn(request_ref, Level::Error, b"attempt to set ngx.header.HEADER after sending out response headers");
        return Ok(Outcome::Return);
    }
    let underscores = request_ref.exchange.lua_conf().transform_underscores;
    let name = dashed(&name, underscores);
    if name.eq_ignore_ascii_case(b"content-length")
        && let Some(text) = v.as_str()
        && (text.bytes().is_empty() || !text.bytes().iter().all(u8::is_ascii_digit))
    {
        return Err(call.error("failed to set header content_length (error: -1)"));
    }
    if let (true, Some(text)) = (replace, v.as_str()) {
        // The usual call: one value, of a header that exists once.
        let name = Bytes::copy_from_slice(&safe_name(&name));
        request_ref.response.headers.set(name, Bytes::copy_from_slice(&safe_value(Call::as_bytes(text))));
        return Ok(Outcome::Return);
    }
    let name = safe_name(&name).into_owned();
    let item = |v: Value<'gc>| safe_value(&cx.raw_tostring(v)).into_owned();
    let list: Vec<Vec<u8>> = match v.kind() {
        Kind::Nil => Vec::new(),
        Kind::Table(t) => {
            let n = t.length();
            call.charge(n);
            (1..=n).map(|i| item(t.get_int(i))).collect()
        }
        _ => vec![item(v)],
    };
    let request = request(call)?;
    if replace || SINGLE.contains(&name.to_ascii_lowercase().as_slice()) {
        assign(&mut request.response.headers, name, list);
    } else {
        list.into_iter().for_each(|v| request.response.headers.add(name.clone(), v));
    }
    Ok(Outcome::Return)
}

/// Replaces a header by these values (none: removes it).
pub(crate) fn assign(headers: &mut Headers, name: Vec<u8>, mut values: Vec<Vec<u8>>) {
    let lower = name.to_ascii_lowercase();
    if SINGLE.contains(&lower.as_slice()) && values.len() > 1 {
        values.drain(..values.len() - 1);
    }
    let mut values = values.into_iter();
    match values.next() {
        // The server would add these by itself: an empty one says that it shall not.
        None if lower == b"server" || lower == b"date" || lower == b"content-type" => headers.set(name, ""),
        None => {
            headers.remove(&name);
        }
        Some(first) => {
            headers.set(name.clone(), first);
            for v in values {
                headers.add(name.clone(), v);
            }
        }
    }
}

/// Request headers that nginx keeps once: of several values the last one stays, and an added one replaces.
const REQUEST_SINGLE: &[&[u8]] = &[
    b"host",
    b"connection",
    b"if-modified-since",
    b"if-unmodified-since",
    b"if-match",
    b"if-none-match",
    b"user-agent",
    b"referer",
    b"content-length",
    b"content-type",
    b"range",
    b"if-range",
    b"transfer-encoding",
    b"expect",
    b"upgrade",
    b"accept-encoding",
    b"via",
    b"authorization",
    b"keep-alive",
];

/// Sets (or, without `replace`, adds) a request header. An empty value is no header.
pub(crate) fn assign_request(headers: &mut Headers, name: Vec<u8>, values: Vec<Vec<u8>>, replace: bool) {
    let single = REQUEST_SINGLE.contains(&name.to_ascii_lowercase().as_slice());
    if replace && values.first().is_none_or(Vec::is_empty) {
        headers.remove(&name);
    }
    for (i, v) in values.into_iter().enumerate().filter(|(_, v)| !v.is_empty()) {
        if single || (replace && i == 0) { headers.set(name.clone(), v) } else { headers.add(name.clone(), v) }
    }
}

/// Response headers that go out without being set: the connection's, and the default type.
fn implied(request: &Request) -> Vec<(&'static str, Vec<u8>)> {
    let head = &request.response;
    let mut list = Vec::new();
    let has = |name: &[u8]| head.headers.contains(name);
    let conf = request.exchange.lua_conf();
    if sent(request) && !has(b"content-type") && conf.use_default_type {
        list.push(("content-type", conf.default_type.to_vec()));
    }
    if !has(b"connection") {
        let asked = request.headers.first(b"connection").map(|v| v.to_ascii_lowercase()).unwrap_or_default();
        let stays = if request.version >= 11 { asked != b"close" } else { asked == b"keep-alive" };
        list.push(("connection", if stays { b"keep-alive".to_vec() } else { b"close".to_vec() }));
    }
    if sent(request) && request.version == 11 && !has(b"content-length") && !has(b"transfer-encoding") {
        list.push(("transfer-encoding", b"chunked".to_vec()));
    }
    list
}

fn get_headers<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let max = call.opt_integer(0, 100)?;
    let raw = call.arg(1).truthy();
    let cx = call.cx;
    let request = request(call)?;
    let t = cx.table(0, request.response.headers.len() + 3);
    let extra = implied(request);
    for (name, value) in &extra {
        cx.set_field(t, name, cx.str(value));
    }
    let count = request.response.headers.len();
    let total = count + extra.len();
    let over = max > 0 && total as i64 > max;
    let shown = if over { usize::try_from(max).unwrap_or(0).saturating_sub(extra.len()) } else { count };
    for (name, value) in request.response.headers.iter().take(shown) {
        if value.is_empty() && name.eq_ignore_ascii_case(b"content-type") {
            continue;
        }
        let key = if raw { cx.intern(name) } else { cx.intern(&name.to_ascii_lowercase()) };
        add_value(cx, t, Value::str(key), cx.str(value));
    }
    if over {
        let words = format!("lua exceeding response header limit {total} > {max}");
        warn(request, Level::Debug, words.as_bytes());
    }
    call.charge(shown * 2);
    if !raw {
        lowercase_lookup(call, t);
    }
    call.push(Value::table(t));
    if over {
        let v = call.cx.str(b"truncated");
        call.push(v);
    }
    Ok(Outcome::Return)
}

/// `t[key] = v`, a second value makes a list.
pub(crate) fn add_value<'gc>(cx: Cx<'gc>, t: vm::Table<'gc>, key: Value<'gc>, v: Value<'gc>) {
    let old = t.get(key);
    let set = match old.kind() {
        Kind::Nil => v,
        Kind::Table(list) => {
            list.set_int(cx.mc, list.length() + 1, v);
            return;
        }
        _ => {
            let list = cx.table(2, 0);
            list.set_int(cx.mc, 1, old);
            list.set_int(cx.mc, 2, v);
            Value::table(list)
        }
    };
    // (a string key is never refused)
    let _ = t.set(cx.mc, key, set);
}

static LOOKUP: &[Row] = &[vm::row("__index", lookup, "header tables find Content_Type as content-type")];

/// Gives a table of headers the metatable under which names are found in any case, with underscores or dashes.
pub(crate) fn lowercase_lookup<'gc>(call: &Call<'_, 'gc>, t: vm::Table<'gc>) {
    let cx = call.cx;
    let registry = cx.registry();
    let shared = match registry.field(b"header lookup").as_table() {
        Some(meta) => meta,
        None => {
            let fresh = meta(cx, LOOKUP);
            cx.set_field(registry, "header lookup", Value::table(fresh));
            fresh
        }
    };
    t.set_metatable(cx.mc, Some(shared));
}

fn lookup<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    let Some(name) = call.arg(1).as_str() else { return call.ret(Value::NIL) };
    let mut lower = name.bytes().to_ascii_lowercase();
    let mut v = t.field(&lower);
    if v.is_nil() && lower.contains(&b'_') {
        lower.iter_mut().filter(|c| **c == b'_').for_each(|c| *c = b'-');
        v = t.field(&lower);
    }
    call.ret(v)
}
