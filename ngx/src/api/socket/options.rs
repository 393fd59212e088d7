//! Timeouts and the kernel's options of a socket.
use std::cell::Cell;
use std::io;

use socket2::SockRef;
use vm::value::table::TableRef;
use vm::{Call, Outcome, Reply, Value};

use super::socket;

/// Milliseconds from Lua; nil, 0 and what is no number mean the default.
fn milliseconds<'gc>(call: &Call<'_, 'gc>, i: usize) -> Result<Option<u64>, Value<'gc>> {
    let n = vm::native::to_number(call.arg(i)).unwrap_or(0.0);
    if !(0.0..2_147_483_648.0).contains(&n.trunc()) {
        return Err(call.error("bad timeout value"));
    }
    Ok((n >= 1.0).then_some(n as u64))
}

pub fn settimeout<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    set_limits(call, "ngx.socket settimeout: expecting 2 arguments", [1, 1, 1])
}

pub fn settimeouts<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    set_limits(call, "ngx.socket settimeout: expecting 4 arguments", [1, 2, 3])
}

/// Sets the limits for connecting, sending and reading from the arguments at these places; the last place is the last argument.
fn set_limits<'gc>(call: &mut Call<'_, 'gc>, wrong: &str, from: [usize; 3]) -> Reply<'gc> {
    if call.len() != from[2] + 1 {
        return Err(call.error(format!("{wrong} (including the object) but seen {}", call.len())));
    }
    let socket = socket(call)?;
    let limits: [&Cell<Option<u64>>; 3] = [&socket.connect_timeout, &socket.send_timeout, &socket.read_timeout];
    let mut shown = [Value::NIL; 3];
    for ((limit, from), shown) in limits.into_iter().zip(from).zip(&mut shown) {
        let ms = milliseconds(call, from)?;
        limit.set(ms);
        *shown = Value::num(ms.unwrap_or(0) as f64);
    }
    // Where OpenResty's socket has them in its table, too.
    let (table, [connect, send, read]) = (call.table(0)?, shown);
    table.set_ints(call.cx.mc, 2, &[connect, table.get_int(3), send, read]);
    Ok(Outcome::Return)
}

/// An option that Lua can read and write as a number.
struct Knob {
    name: &'static [u8],
    set: fn(&SockRef<'_>, i32) -> io::Result<()>,
    get: fn(&SockRef<'_>) -> io::Result<i64>,
}

const OPTIONS: &[Knob] = &[
    Knob { name: b"keepalive", set: |s, v| s.set_keepalive(v != 0), get: |s| s.keepalive().map(i64::from) },
    Knob { name: b"reuseaddr", set: |s, v| s.set_reuse_address(v != 0), get: |s| s.reuse_address().map(i64::from) },
    Knob { name: b"tcp-nodelay", set: |s, v| s.set_tcp_nodelay(v != 0), get: |s| s.tcp_nodelay().map(i64::from) },
    Knob {
        name: b"sndbuf",
        set: |s, v| s.set_send_buffer_size(size(v)),
        get: |s| s.send_buffer_size().map(|n| n as i64),
    },
    Knob {
        name: b"rcvbuf",
        set: |s, v| s.set_recv_buffer_size(size(v)),
        get: |s| s.recv_buffer_size().map(|n| n as i64),
    },
];

fn size(value: i32) -> usize {
    usize::try_from(value).unwrap_or(0)
}

/// The option that argument 1 names; Err: the words for nil and a message.
fn named<'gc>(call: &Call<'_, 'gc>) -> Result<&'static Knob, String> {
    let name = call.arg(1);
    if name.is_nil() {
        return Err("missing the \"option\" argument".into());
    }
    let text = call.cx.raw_tostring(name);
    let known = OPTIONS.iter().find(|option| option.name == text);
    known.ok_or_else(|| format!("unsupported option {}", String::from_utf8_lossy(&text)))
}

pub fn set<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let socket = socket(call)?;
    if !call.arg(1).is_nil() && call.is_none_or_nil(2) {
        return call.ret_nil_err("missing the \"value\" argument");
    }
    let option = match named(call) {
        Ok(option) => option,
        Err(words) => return call.ret_nil_err(words),
    };
    let value = match call.arg(2) {
        v if v.identical(Value::TRUE) => 1,
        v if v.identical(Value::FALSE) => 0,
        _ => call.number(2)? as i32,
    };
    let Some(connected) = socket.current() else { return call.ret_nil_err("closed") };
    match connected.stream.options(|s| (option.set)(s, value)) {
        Ok(()) => call.ret(Value::TRUE),
        Err(e) => call.ret_nil_err(stdlib::io_error(&e)),
    }
}

pub fn get<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let socket = socket(call)?;
    let option = match named(call) {
        Ok(option) => option,
        Err(words) => return call.ret_nil_err(words),
    };
    let Some(connected) = socket.current() else { return call.ret_nil_err("closed") };
    match connected.stream.options(|s| (option.get)(s)) {
        Ok(value) => call.ret(Value::num(value as f64)),
        Err(e) => call.ret_nil_err(stdlib::io_error(&e)),
    }
}
