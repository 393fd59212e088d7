//! receive, receiveany, receiveuntil.
use std::rc::Rc;

use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Outcome, Reply, Row, Value, What, row};

use super::{Quiet, busy, count, fail, is_open, limit, report, socket};
use crate::api::log::debug;
use crate::api::request;
use crate::cosocket::{Busy, Connected, Failure, Pattern, Socket, Until, within};

static UNTIL: Row = row("receiveuntil iterator", until_step, "([size]) -> data before the boundary, nil after it");

/// The connection to read from; Err: what to answer instead.
fn readable<'gc>(call: &mut Call<'_, 'gc>, socket: &Rc<Socket>) -> Result<Result<Rc<Connected>, Failure>, Value<'gc>> {
    let connected = socket.current().filter(|connected| !connected.read_closed.get());
    if connected.is_none() && !is_open(socket) || socket.current().is_some_and(|c| c.read_closed.get()) {
        return Ok(Err(Failure::not_connected("receive data on")));
    }
    if !socket.belongs_to(request(call)?) {
        return Err(call.error("bad request"));
    }
    if let Some(words) = busy(socket, Quiet::Reading) {
        return Ok(Err(Failure::silent(words)));
    }
    Ok(connected.ok_or_else(Failure::closed))
}

pub fn receive<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    count(call, 1..=2, "1 or 2 arguments")?;
    debug(call, |_| "lua tcp socket calling receive() method".into());
    let socket = socket(call)?;
    let connected = match readable(call, &socket)? {
        Ok(connected) => connected,
        Err(failure) => return fail(call, &failure),
    };
    let pattern = match call.arg(1).kind() {
        _ if call.len() <= 1 => Pattern::Line,
        Kind::Num(n) => number(call, n)?,
        Kind::Str(s) => match s.bytes() {
            b"*l" => Pattern::Line,
            b"*a" => Pattern::All,
            other => match vm::native::to_number(call.arg(1)) {
                Some(n) => number(call, n)?,
                None if other.len() == 2 && other[0] == b'*' => {
                    return Err(call.arg_error(1, "bad pattern argument"));
                }
                None => {
                    let shown = String::from_utf8_lossy(other).into_owned();
                    return Err(call.arg_error(1, &format!("bad pattern argument: {shown}")));
                }
            },
        },
        _ => return Err(call.arg_error(1, "bad pattern argument")),
    };
    if matches!(pattern, Pattern::Count(0)) {
        let nothing = call.cx.str(b"");
        return call.ret(nothing);
    }
    read(call, socket, connected, pattern)
}

fn number<'gc>(call: &mut Call<'_, 'gc>, n: f64) -> Result<Pattern, Value<'gc>> {
    if n <= -1.0 || n.is_nan() {
        return Err(call.arg_error(1, "bad pattern argument"));
    }
    let n = n as usize;
    call.reserve(n)?;
    Ok(Pattern::Count(n))
}

pub fn receiveany<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    count(call, 2..=2, "2 arguments")?;
    let socket = socket(call)?;
    let connected = match readable(call, &socket)? {
        Ok(connected) => connected,
        Err(failure) => return fail(call, &failure),
    };
    let max = match vm::native::to_number(call.arg(1)) {
        Some(n) if n >= 1.0 => n as usize,
        _ => return Err(call.arg_error(1, "bad max argument")),
    };
    debug(call, |_| format!("lua tcp socket calling receiveany() method to read at most {max} bytes"));
    read(call, socket, connected, Pattern::Any(max))
}

fn read<'gc>(call: &mut Call<'_, 'gc>, socket: Rc<Socket>, connected: Rc<Connected>, pattern: Pattern) -> Reply<'gc> {
    tell(call, &connected)?;
    debug(call, |_| {
        let kind = match pattern {
            Pattern::Line => "line",
            Pattern::All => "all",
            Pattern::Any(_) => "any",
            Pattern::Count(_) => "chunk",
        };
        format!("lua tcp socket read {kind}")
    });
    if let Some(bytes) = connected.ready(&pattern) {
        let v = call.string(bytes)?;
        return call.ret(v);
    }
    let ms = limit(call, &socket.read_timeout, |conf| conf.socket_read_timeout)?;
    debug(call, |_| format!("lua tcp socket read timeout: {ms}"));
    let busy = Busy::reading(&socket);
    let from = connected.clone();
    let job = async move {
        let done = within(ms, from.read(&pattern)).await;
        busy.over();
        done.unwrap_or_else(|| Err(Failure::timeout("lua tcp socket read timed out")))
    };
    Outcome::park(What::Read, job, move |call, done| match done {
        Ok(bytes) => {
            call.charge(bytes.len() / 32);
            let v = call.string(bytes)?;
            call.ret(v)
        }
        Err(failure) => read_failed(call, &connected, &failure),
    })
}

/// In the debug log: the buffer of an earlier read serves again. (In OpenResty it is as large as the directive says.)
fn tell<'gc>(call: &mut Call<'_, 'gc>, connected: &Connected) -> Result<(), Value<'gc>> {
    let (used, size) =
        (connected.buffer.borrow().capacity() > 0, request(call)?.exchange.lua_conf().socket_buffer_size);
    if used {
        debug(call, |_| format!("lua reuse free buf memory {size} >= {size}"));
    }
    Ok(())
}

/// nil, the words, and what had come.
fn read_failed<'gc>(call: &mut Call<'_, 'gc>, connected: &Connected, failure: &Failure) -> Reply<'gc> {
    // (the socket stays open for close() and for writing, as in OpenResty: the connection remembers its end)
    let partial = connected.take_all();
    connected.read_closed.set(failure.fatal);
    report(call, failure)?;
    call.push(Value::NIL);
    let words = call.cx.str(failure.words.as_bytes());
    call.push(words);
    let partial = call.string(partial)?;
    call.push(partial);
    Ok(Outcome::Return)
}

pub fn receiveuntil<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    count(call, 2..=3, "2 or 3 arguments")?;
    let mut inclusive = false;
    if call.len() == 3 {
        let v = call.table(2)?.field(b"inclusive");
        match v.kind() {
            Kind::Nil => {}
            Kind::Bool(b) => inclusive = b,
            _ => return Err(call.error(format!("bad \"inclusive\" option value type: {}", v.type_name()))),
        }
    }
    debug(call, |_| "lua tcp socket calling receiveuntil() method".into());
    call.table(0)?;
    let boundary = call.bytes(1)?.to_vec();
    if boundary.is_empty() {
        return call.ret_nil_err("pattern is empty");
    }
    call.charge(boundary.len());
    call.reserve(boundary.len() * 9)?;
    let state = Rc::new(Until::new(boundary, inclusive));
    let state = call.wrap(state, None);
    let iterator = call.cx.native(&UNTIL, &[call.arg(0), Value::userdata(state)]);
    call.ret(iterator)
}

fn until_step<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() > 1 {
        return Err(call.error(format!("expecting 0 or 1 arguments, but seen {}", call.len())));
    }
    let size = if call.len() == 1 { call.integer(0)? } else { 0 };
    let size = usize::try_from(size).ok().filter(|size| *size > 0);
    call.set_len(call.len().max(1));
    let owner = call.upvalue(0);
    call.set_arg(0, owner);
    let socket = socket(call)?;
    let state = call.upvalue(1).as_userdata().and_then(|u| u.downcast::<Until>());
    let Some(state) = state else { return call.ret(Value::NIL) };
    let connected = match readable(call, &socket)? {
        Ok(connected) => connected,
        Err(failure) => return call.ret_nil_err(failure.words),
    };
    debug(call, |_| "lua tcp socket receiveuntil iterator".into());
    tell(call, &connected)?;
    let ms = limit(call, &socket.read_timeout, |conf| conf.socket_read_timeout)?;
    debug(call, |_| format!("lua tcp socket read timeout: {ms}"));
    if let Some(size) = size {
        call.reserve(size)?;
    }
    let busy = Busy::reading(&socket);
    let from = connected.clone();
    let job = async move {
        let done = within(ms, from.read_until(&state, size)).await;
        busy.over();
        done.unwrap_or_else(|| Err(Failure::timeout("lua tcp socket read timed out")))
    };
    Outcome::park(What::Read, job, move |call, done| match done {
        Ok(Some(bytes)) => {
            let v = call.string(bytes)?;
            call.ret(v)
        }
        Ok(None) => {
            call.push(Value::NIL);
            call.push(Value::NIL);
            call.push(Value::NIL);
            Ok(Outcome::Return)
        }
        Err(failure) => read_failed(call, &connected, &failure),
    })
}
