//! ngx.shared: the shared dictionaries.
//!
//! A dictionary is a table (as in OpenResty) whose first item is the zone; all of them share one metatable.
use std::sync::Arc;

use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Value};

use super::row_in;
use crate::now::unix_ms;
use crate::phase::ANY;
use crate::shdict::{self, End, Mode, Zone};
use crate::worker::Worker;

static METHODS: &[Row] = &[
    row_in("get", get, ANY, "dict:get(key) -> value, flags"),
    row_in("get_stale", get_stale, ANY, "dict:get_stale(key) -> value, flags, whether it has expired"),
    row_in("set", set, ANY, "dict:set(key, value [, seconds [, flags]]) -> ok, message, forcible"),
    row_in("safe_set", safe_set, ANY, "dict:safe_set(key, value [, seconds [, flags]]) -> ok, message"),
    row_in("add", add, ANY, "dict:add(key, value [, seconds [, flags]]) -> ok, message, forcible"),
    row_in("safe_add", safe_add, ANY, "dict:safe_add(key, value [, seconds [, flags]]) -> ok, message"),
    row_in("replace", replace, ANY, "dict:replace(key, value [, seconds [, flags]]) -> ok, message, forcible"),
    row_in("delete", delete, ANY, "dict:delete(key)"),
    row_in("incr", incr, ANY, "dict:incr(key, by [, init [, seconds]]) -> new value, message, forcible"),
    row_in("lpush", lpush, ANY, "dict:lpush(key, value) -> length, or nil and a message"),
    row_in("rpush", rpush, ANY, "dict:rpush(key, value) -> length, or nil and a message"),
    row_in("lpop", lpop, ANY, "dict:lpop(key) -> value, or nil and a message"),
    row_in("rpop", rpop, ANY, "dict:rpop(key) -> value, or nil and a message"),
    row_in("llen", llen, ANY, "dict:llen(key) -> length, or nil and a message"),
    row_in("ttl", ttl, ANY, "dict:ttl(key) -> seconds, or nil and a message"),
    row_in("expire", expire, ANY, "dict:expire(key, seconds) -> true, or nil and a message"),
    row_in("flush_all", flush_all, ANY, "dict:flush_all(): expires every entry"),
    row_in("flush_expired", flush_expired, ANY, "dict:flush_expired([max]) -> how many were removed"),
    row_in("get_keys", get_keys, ANY, "dict:get_keys([max]) -> list"),
    row_in("capacity", capacity, ANY, "dict:capacity() -> bytes"),
    row_in("free_space", free_space, ANY, "dict:free_space() -> bytes"),
];

/// Keys that get_keys gives without a limit of its own.
const MAX_KEYS: i64 = 1024;

pub fn open(cx: Cx<'_>, worker: &Worker) {
    let shared = cx.library("ngx.shared", &[]);
    let meta = super::ngx_table::meta(cx, METHODS);
    cx.set_field(meta, "__index", Value::table(meta));
    for zone in &worker.setup.zones {
        let dict = cx.table(1, 0);
        dict.set_int(cx.mc, 1, Value::userdata(cx.userdata(std::rc::Rc::new(zone.clone()), None)));
        dict.set_metatable(cx.mc, Some(meta));
        cx.set_field(shared, zone.name(), Value::table(dict));
    }
}

/// The zone behind argument 0.
pub(super) fn zone<'gc>(call: &Call<'_, 'gc>) -> Result<Arc<Zone>, Value<'gc>> {
    let object = call.arg(0).as_table().and_then(|t| t.get_int(1).as_userdata());
    let zone = object.and_then(|u| u.downcast::<Arc<Zone>>());
    zone.map(|z| (*z).clone()).ok_or_else(|| call.error("bad \"zone\" argument"))
}

/// Argument 1 as a key, or the words that refuse it.
fn key<'gc>(call: &Call<'_, 'gc>) -> Result<Vec<u8>, &'static str> {
    if call.arg(1).is_nil() {
        return Err("nil key");
    }
    let key = call.cx.raw_tostring(call.arg(1));
    shdict::check_key(&key).map_err(shdict::Error::words)?;
    Ok(key)
}

macro_rules! key {
    ($call:ident) => {
        match key($call) {
            Ok(key) => key,
            Err(words) => return $call.ret_nil_err(words),
        }
    };
}

/// Seconds as milliseconds; None: negative.
fn milliseconds(seconds: f64) -> Option<u64> {
    (seconds >= 0.0).then_some((seconds * 1000.0) as u64)
}

/// A value for the zone; None: of a type that it cannot hold.
fn stored(v: Value<'_>) -> Option<shdict::Value> {
    Some(match v.kind() {
        Kind::Nil => shdict::Value::Nil,
        Kind::Bool(b) => shdict::Value::Bool(b),
        Kind::Num(n) => shdict::Value::Number(n),
        Kind::Str(s) => shdict::Value::Bytes(s.bytes().into()),
        _ => return None,
    })
}

fn shown<'gc>(call: &mut Call<'_, 'gc>, value: shdict::Value) -> Result<Value<'gc>, Value<'gc>> {
    Ok(match value {
        shdict::Value::Nil => Value::NIL,
        shdict::Value::Bool(b) => Value::bool(b),
        shdict::Value::Number(n) => Value::num(n),
        shdict::Value::Bytes(bytes) => {
            call.reserve(bytes.len())?;
            call.cx.str_vec(bytes.into_vec())
        }
    })
}

fn get<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let zone = zone(call)?;
    let key = key!(call);
    match zone.get(&key, unix_ms()) {
        Ok((value, flags)) => {
            let v = shown(call, value)?;
            call.push(v);
            if flags != 0 && !v.is_nil() {
                call.push(Value::num(f64::from(flags as i32)));
            }
            Ok(Outcome::Return)
        }
        Err(e) => call.ret_nil_err(e.words()),
    }
}

fn get_stale<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let zone = zone(call)?;
    let key = key!(call);
    match zone.get_stale(&key, unix_ms()) {
        Ok((shdict::Value::Nil, ..)) => call.ret(Value::NIL),
        Ok((value, flags, stale)) => {
            let v = shown(call, value)?;
            call.push(v);
            call.push(if flags == 0 { Value::NIL } else { Value::num(f64::from(flags as i32)) });
            call.ret(Value::bool(stale))
        }
        Err(e) => call.ret_nil_err(e.words()),
    }
}

fn set<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    store(call, Mode::Set)
}
fn safe_set<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    store(call, Mode::SafeSet)
}
fn add<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    store(call, Mode::Add)
}
fn safe_add<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    store(call, Mode::SafeAdd)
}
fn replace<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    store(call, Mode::Replace)
}
fn delete<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.set_len(2);
    store(call, Mode::Set)
}

fn store<'gc>(call: &mut Call<'_, 'gc>, mode: Mode) -> Reply<'gc> {
    let zone = zone(call)?;
    let seconds = if call.arg(3).truthy() { call.number(3)? } else { 0.0 };
    let Some(ttl) = milliseconds(seconds) else { return Err(call.error("bad \"exptime\" argument")) };
    let flags = if call.arg(4).truthy() { call.integer(4)? as u32 } else { 0 };
    let key = key!(call);
    let Some(value) = stored(call.arg(2)) else { return call.ret_nil_err("bad value type") };
    if let shdict::Value::Bytes(bytes) = &value {
        call.charge(bytes.len() / 32);
    }
    let done = zone.store(mode, &key, value, ttl, flags, unix_ms());
    call.push(Value::bool(done.result.is_ok()));
    let words = done.result.err().map_or(Value::NIL, |e| call.cx.key(e.words()));
    call.push(words);
    call.ret(Value::bool(done.forcible))
}

fn incr<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let zone = zone(call)?;
    let key = key!(call);
    let by = call.number(2)?;
    let optional = |call: &Call<'_, 'gc>, i: usize, name: &str| match vm::native::to_number(call.arg(i)) {
        Some(n) => Ok(n),
        None => Err(call.error(format!("bad {name} arg: number expected, got {}", call.arg(i).type_name()))),
    };
    let init = if call.arg(3).truthy() { Some(optional(call, 3, "init")?) } else { None };
    let mut ttl = 0;
    if !call.arg(4).is_nil() {
        let seconds = optional(call, 4, "init_ttl")?;
        ttl = milliseconds(seconds).ok_or_else(|| call.error("bad \"init_ttl\" argument"))?;
        if init.is_none() {
            return Err(call.error("must provide \"init\" when providing \"init_ttl\""));
        }
    }
    match zone.incr(&key, by, init.map(|n| (n, ttl)), unix_ms()) {
        (Ok(n), _) if init.is_none() => call.ret(Value::num(n)),
        (Ok(n), forcible) => {
            call.push(Value::num(n));
            call.push(Value::NIL);
            call.ret(Value::bool(forcible))
        }
        (Err(e), _) => call.ret_nil_err(e.words()),
    }
}

/// The zone and key of a list function, which count their arguments.
fn list_call<'gc>(
    call: &mut Call<'_, 'gc>,
    n: usize,
) -> Result<Result<(Arc<Zone>, Vec<u8>), &'static str>, Value<'gc>> {
    if call.len() != n {
        return Err(call.error(format!("expecting {n} arguments, but only seen {}", call.len())));
    }
    let zone = zone(call)?;
    Ok(key(call).map(|key| (zone, key)))
}

fn push<'gc>(call: &mut Call<'_, 'gc>, end: End) -> Reply<'gc> {
    let (zone, key) = match list_call(call, 3)? {
        Ok(found) => found,
        Err(words) => return call.ret_nil_err(words),
    };
    let value = match stored(call.arg(2)) {
        Some(value @ (shdict::Value::Number(_) | shdict::Value::Bytes(_))) => value,
        _ => return call.ret_nil_err("bad value type"),
    };
    match zone.push(end, &key, value, unix_ms()) {
        Ok(n) => call.ret(Value::num(n as f64)),
        Err(e) => call.ret_nil_err(e.words()),
    }
}

fn pop<'gc>(call: &mut Call<'_, 'gc>, end: End) -> Reply<'gc> {
    let (zone, key) = match list_call(call, 2)? {
        Ok(found) => found,
        Err(words) => return call.ret_nil_err(words),
    };
    match zone.pop(end, &key, unix_ms()) {
        Ok(value) => {
            let v = shown(call, value)?;
            call.ret(v)
        }
        Err(e) => call.ret_nil_err(e.words()),
    }
}

fn lpush<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    push(call, End::Left)
}
fn rpush<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    push(call, End::Right)
}
fn lpop<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    pop(call, End::Left)
}
fn rpop<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    pop(call, End::Right)
}

fn llen<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (zone, key) = match list_call(call, 2)? {
        Ok(found) => found,
        Err(words) => return call.ret_nil_err(words),
    };
    match zone.llen(&key, unix_ms()) {
        Ok(n) => call.ret(Value::num(n as f64)),
        Err(e) => call.ret_nil_err(e.words()),
    }
}

fn ttl<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let zone = zone(call)?;
    let key = key!(call);
    match zone.ttl(&key, unix_ms()) {
        Ok(ms) => call.ret(Value::num(ms as f64 / 1000.0)),
        Err(e) => call.ret_nil_err(e.words()),
    }
}

fn expire<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let zone = zone(call)?;
    if !call.arg(2).truthy() {
        return Err(call.error("bad \"exptime\" argument"));
    }
    let key = key!(call);
    let ttl = milliseconds(call.number(2)?).unwrap_or(0);
    match zone.expire(&key, ttl, unix_ms()) {
        Ok(()) => call.ret(Value::TRUE),
        Err(e) => call.ret_nil_err(e.words()),
    }
}

fn flush_all<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    zone(call)?.flush_all(unix_ms());
    Ok(Outcome::Return)
}

/// The optional limit of the functions that walk a zone.
fn attempts<'gc>(call: &mut Call<'_, 'gc>, default: i64) -> Result<usize, Value<'gc>> {
    if !matches!(call.len(), 1 | 2) {
        return Err(call.error(format!("expecting 1 or 2 argument(s), but saw {}", call.len())));
    }
    let max = call.opt_integer(1, default)?;
    Ok(usize::try_from(max).unwrap_or(0))
}

fn flush_expired<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let max = attempts(call, 0)?;
    let freed = zone(call)?.flush_expired(max, unix_ms());
    call.charge(freed);
    call.ret(Value::num(freed as f64))
}

fn get_keys<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let max = attempts(call, MAX_KEYS)?;
    let keys = zone(call)?.keys(max, unix_ms());
    call.charge(keys.len());
    call.reserve(keys.iter().map(|k| k.len()).sum())?;
    let cx = call.cx;
    let list = cx.table(keys.len(), 0);
    for (i, key) in keys.into_iter().enumerate() {
        list.set_int(cx.mc, i + 1, cx.str_vec(key.into_vec()));
    }
    call.ret(Value::table(list))
}

fn capacity<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let bytes = zone(call)?.capacity();
    call.ret(Value::num(bytes as f64))
}

fn free_space<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let bytes = zone(call)?.free_space();
    call.ret(Value::num(bytes as f64))
}
