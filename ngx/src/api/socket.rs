//! ngx.socket.tcp and its methods.
//!
//! A socket is a table (as in OpenResty: libraries hang fields on it) whose first item is the host object.
use std::rc::Rc;

use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Value, What, row};

use super::output::write_scalar;
use super::{request, row_in, worker};
use crate::cosocket::{self, Busy, Connected, Failure, Pattern, Socket, Target, Until, within};
use crate::log::Level;
use crate::phase::{ANY, Phase};
use crate::request::Request;

const LEGAL: u32 = ANY & !Phase::Init.bit();

static NATIVES: &[Row] = &[
    row_in("tcp", tcp, LEGAL, "ngx.socket.tcp() -> a stream socket, not connected"),
    row_in("stream", tcp, LEGAL, "ngx.socket.stream() -> the same"),
    row_in("connect", connect_new, LEGAL, "ngx.socket.connect(host, port, ...) -> a connected socket"),
];

static METHODS: &[Row] = &[
    row(
        "connect",
        connect,
        "sock:connect(host, port [, opts]) or (\"unix:/path\" [, opts]) -> 1, or nil and a message",
    ),
    row("send", send, "sock:send(data) -> bytes, or nil and a message"),
    row("receive", receive, "sock:receive([size or pattern]) -> data, or nil, message and what came"),
    row("receiveany", receiveany, "sock:receiveany(max) -> whatever comes first, or nil and a message"),
    row("receiveuntil", receiveuntil, "sock:receiveuntil(pattern [, opts]) -> an iterator"),
    row("close", close, "sock:close() -> 1, or nil and a message"),
    row("settimeout", settimeout, "sock:settimeout(ms)"),
    row("settimeouts", settimeouts, "sock:settimeouts(connect, send, read), in ms"),
    row("setoption", setoption, "sock:setoption(name [, value]) -> 1, or nil and a message"),
    row("setkeepalive", setkeepalive, "sock:setkeepalive([ms [, size]]) -> 1, or nil and a message"),
    row("getreusedtimes", getreusedtimes, "sock:getreusedtimes() -> how often it came out of the pool"),
];

static UNTIL: Row = row("receiveuntil iterator", until_step, "([size]) -> data before the boundary, nil after it");

pub fn open(cx: Cx<'_>) {
    cx.library("ngx.socket", NATIVES);
    let meta = cx.table(0, 1);
    let methods = cx.table(0, METHODS.len());
    cx.register(methods, METHODS);
    cx.set_field(meta, "__index", Value::table(methods));
    cx.set_field(cx.registry(), "tcp socket", Value::table(meta));
}

fn new_socket<'gc>(call: &mut Call<'_, 'gc>) -> Value<'gc> {
    let object = call.wrap(Rc::new(Socket::new()), None);
    let t = call.cx.table(1, 0);
    t.set_int(call.cx.mc, 1, Value::userdata(object));
    let meta = call.cx.registry().field(b"tcp socket").as_table();
    t.set_metatable(call.cx.mc, meta);
    Value::table(t)
}

fn tcp<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let socket = new_socket(call);
    call.ret(socket)
}

/// The socket behind the table that is argument 0.
fn socket<'gc>(call: &Call<'_, 'gc>) -> Result<Rc<Socket>, Value<'gc>> {
    call.arg(0)
        .as_table()
        .and_then(|t| t.get_int(1).as_userdata())
        .and_then(|u| u.downcast::<Socket>())
        .ok_or_else(|| call.type_error(0, "tcp socket"))
}

/// The same, refused to requests that it does not belong to.
fn own_socket<'gc>(call: &mut Call<'_, 'gc>) -> Result<Rc<Socket>, Value<'gc>> {
    let socket = socket(call)?;
    if socket.belongs_to(request(call)?) { Ok(socket) } else { Err(call.error("bad request")) }
}

/// nil and the words; the log hears of it, too.
pub(crate) fn fail<'gc>(call: &mut Call<'_, 'gc>, failure: &Failure) -> Reply<'gc> {
    report(call, failure)?;
    call.ret_nil_err(&failure.words)
}

fn report<'gc>(call: &mut Call<'_, 'gc>, failure: &Failure) -> Result<(), Value<'gc>> {
    let request = request(call)?;
    if let Some(line) = &failure.log
        && request.exchange.lua_conf().socket_log_errors
    {
        log(request, line);
    }
    Ok(())
}

fn log(request: &Request, line: &str) {
    if request.log.enabled(Level::Error) {
        request.log.write(Level::Error, line.as_bytes(), Some(request));
    }
}

fn connect_new<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    // The socket goes before the arguments, and is the result where 1 would be.
    let args: Vec<_> = (0..call.len()).map(|i| call.arg(i)).collect();
    let fresh = new_socket(call);
    call.set_len(args.len() + 1);
    call.set_arg(0, fresh);
    for (i, v) in args.into_iter().enumerate() {
        call.set_arg(i + 1, v);
    }
    start_connect(call, true)
}

fn connect<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    start_connect(call, false)
}

fn start_connect<'gc>(call: &mut Call<'_, 'gc>, give_socket: bool) -> Reply<'gc> {
    if !matches!(call.len(), 2..=4) {
        return Err(call.error(format!(
            "ngx.socket connect: expecting 2, 3, or 4 arguments (including the object), but seen {}",
            call.len()
        )));
    }
    let socket = own_socket(call)?;
    let host = String::from_utf8_lossy(call.bytes(1)?).into_owned();
    let (target, opts) = match host.strip_prefix("unix:") {
        Some(path) => (Target::Unix(path.to_string()), 2),
        None => {
            let port = vm::native::to_number(call.arg(2)).unwrap_or(-1.0);
            if !(0.0..=65535.0).contains(&port) {
                if call.arg(2).is_nil() {
                    return call.ret_nil_err("missing the port number");
                }
                return call.ret_nil_err(format!(
                    "bad port number: {}",
                    String::from_utf8_lossy(&call.cx.raw_tostring(call.arg(2)))
                ));
            }
            (Target::Tcp { host: host.clone(), port: port as u16 }, 3)
        }
    };
    let mut pool = match &target {
        Target::Unix(path) => format!("unix:{path}").into_bytes(),
        Target::Tcp { host, port } => format!("{host}:{port}").into_bytes(),
    };
    let mut pool_size = request(call)?.exchange.lua_conf().socket_pool_size;
    if let Some(options) = call.arg(opts).as_table() {
        let name = options.field(b"pool");
        match name.kind() {
            Kind::Nil => {}
            Kind::Str(_) | Kind::Num(_) => pool = call.cx.raw_tostring(name),
            _ => return Err(call.arg_error(opts, &format!("bad \"pool\" option type: {}", name.type_name()))),
        }
        let size = options.field(b"pool_size");
        if let Some(n) = vm::native::to_number(size) {
            if n < 1.0 {
                return Err(call.arg_error(opts, &format!("bad \"pool_size\" option value: {n}")));
            }
            pool_size = n as usize;
        }
    }
    if socket.connecting.get() {
        return call.ret_nil_err("socket busy connecting");
    }
    if socket.reading.get() {
        return call.ret_nil_err("socket busy reading");
    }
    if socket.writing.get() {
        return call.ret_nil_err("socket busy writing");
    }
    *socket.connected.borrow_mut() = None;
    socket.owner.set(request(call)?);
    let worker = worker(call)?;
    if let Some(connected) = worker.sockets.take(&pool) {
        super::log::debug(call, |_| "lua tcp socket get keepalive peer: using connection".into());
        *socket.connected.borrow_mut() = Some(Rc::new(connected));
        return connected_reply(call, give_socket);
    }
    let request = request(call)?;
    let conf = request.exchange.lua_conf();
    let ms = socket.connect_timeout.get().unwrap_or(conf.socket_connect_timeout);
    let resolvers = conf.resolvers.clone();
    super::log::debug(call, |_| format!("lua tcp socket connect timeout: {ms}"));
    let busy = Busy::new(&socket, |s| &s.connecting);
    let job = async move {
        let stream = cosocket::connect(&target, &resolvers, ms).await;
        drop(busy);
        stream
    };
    Outcome::park(What::Connect, job, move |call, result| match result {
        Ok(stream) => {
            *socket.connected.borrow_mut() = Some(Rc::new(Connected::new(stream, pool, pool_size)));
            connected_reply(call, give_socket)
        }
        Err(failure) => fail(call, &failure),
    })
}

fn connected_reply<'gc>(call: &mut Call<'_, 'gc>, give_socket: bool) -> Reply<'gc> {
    if give_socket {
        return call.ret(call.arg(0));
    }
    call.ret(Value::num(1.0))
}

fn send<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let socket = own_socket(call)?;
    if call.len() != 2 {
        return Err(call.error(format!("expecting 2 arguments (including the object), but got {}", call.len())));
    }
    let data = call.arg(1);
    let mut gathered = Vec::new();
    let bytes: &[u8] = match data.kind() {
        Kind::Str(s) => Call::as_bytes(s),
        Kind::Table(t) => {
            write_pieces(t, &mut gathered, 0).map_err(|bad| call.arg_error(1, &bad))?;
            &gathered
        }
        _ if write_scalar(data, &mut gathered) => &gathered,
        _ => {
            return Err(call.arg_error(
                1,
                &format!("string, number, boolean, nil, or array table expected, got {}", data.type_name()),
            ));
        }
    };
    let Some(connected) = socket.current() else {
        let line = "attempt to send data on a closed socket: u:0000000000000000, c:0000000000000000, ft:0 eof:0";
        return fail(call, &Failure { words: "closed".into(), log: Some(line.into()), fatal: true });
    };
    if socket.writing.get() {
        return call.ret_nil_err("socket busy writing");
    }
    call.charge(bytes.len() / 32);
    let total = bytes.len();
    let sent = match connected.write_now(bytes) {
        Ok(sent) if sent == total => return call.ret(Value::num(total as f64)),
        Ok(sent) => sent,
        Err(failure) => {
            *socket.connected.borrow_mut() = None;
            return fail(call, &failure);
        }
    };
    let rest = bytes[sent..].to_vec();
    let conf = request(call)?.exchange.lua_conf();
    let ms = socket.send_timeout.get().unwrap_or(conf.socket_send_timeout);
    super::log::debug(call, |_| format!("lua tcp socket send timeout: {ms}"));
    let busy = Busy::new(&socket, |s| &s.writing);
    let job = async move {
        let done = within(ms, connected.write(&rest)).await;
        drop(busy);
        done.unwrap_or_else(|| Err(Failure { fatal: true, ..Failure::timeout("lua tcp socket write timed out") }))
    };
    Outcome::park(What::Write, job, move |call, done| match done {
        Ok(()) => call.ret(Value::num(total as f64)),
        Err(failure) => {
            if failure.fatal {
                *socket.connected.borrow_mut() = None;
            }
            fail(call, &failure)
        }
    })
}

/// Pieces of a list (nested ones too) one after the other.
pub(crate) fn write_pieces(t: vm::Table<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), String> {
    if depth > 100 {
        return Err("too many nested tables".into());
    }
    for i in 1..=t.length() {
        let v = t.get_int(i);
        match v.kind() {
            Kind::Table(inner) => write_pieces(inner, out, depth + 1)?,
            _ if write_scalar(v, out) => {}
            _ => return Err(format!("bad data type {} found", v.type_name())),
        }
    }
    Ok(())
}

/// The connection to read from, or what to answer without one.
fn readable<'gc>(call: &mut Call<'_, 'gc>, socket: &Rc<Socket>) -> Result<Result<Rc<Connected>, Failure>, Value<'gc>> {
    let _ = call;
    if socket.reading.get() {
        return Ok(Err(Failure { words: "socket busy reading".into(), log: None, fatal: false }));
    }
    Ok(match socket.current() {
        Some(connected) if !connected.eof.get() || connected.has_unread() => Ok(connected),
        _ => {
            let line = "attempt to receive data on a closed socket: u:0000000000000000, c:0000000000000000, ft:0 eof:0";
            Err(Failure { words: "closed".into(), log: Some(line.into()), fatal: true })
        }
    })
}

fn receive<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !matches!(call.len(), 1 | 2) {
        return Err(call.error(format!("expecting 1 or 2 arguments (including the object), but got {}", call.len())));
    }
    let socket = own_socket(call)?;
    if socket.current().is_none() {
        // (a closed socket is told of before a bad pattern)
        return read(call, socket, Pattern::Line);
    }
    let pattern = match call.arg(1).kind() {
        Kind::Nil if call.len() <= 1 => Pattern::Line,
        Kind::Num(n) => count(call, n)?,
        Kind::Str(s) => match s.bytes() {
            b"*l" | b"l" => Pattern::Line,
            b"*a" | b"a" => Pattern::All,
            other => match vm::native::to_number(call.arg(1)) {
                Some(n) => count(call, n)?,
                None => {
                    let shown = String::from_utf8_lossy(other).into_owned();
                    return Err(call.arg_error(1, &format!("bad pattern argument: {shown}")));
                }
            },
        },
        _ => {
            let got = call.arg(1).type_name();
            return Err(call.arg_error(1, &format!("bad pattern argument: {got}")));
        }
    };
    read(call, socket, pattern)
}

fn count<'gc>(call: &mut Call<'_, 'gc>, n: f64) -> Result<Pattern, Value<'gc>> {
    if n < 0.0 || n.is_nan() {
        return Err(call.arg_error(1, "bad number argument"));
    }
    let n = n as usize;
    call.reserve(n)?;
    Ok(Pattern::Count(n))
}

fn receiveany<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let socket = own_socket(call)?;
    let max = match vm::native::to_number(call.arg(1)) {
        Some(n) if n >= 1.0 => n as usize,
        _ => return Err(call.arg_error(1, "bad max argument")),
    };
    read(call, socket, Pattern::Any(max))
}

fn read<'gc>(call: &mut Call<'_, 'gc>, socket: Rc<Socket>, pattern: Pattern) -> Reply<'gc> {
    let connected = match readable(call, &socket)? {
        Ok(connected) => connected,
        Err(failure) => return fail(call, &failure),
    };
    if let Some(bytes) = connected.ready(&pattern) {
        let v = call.string(bytes)?;
        return call.ret(v);
    }
    let conf = request(call)?.exchange.lua_conf();
    let ms = socket.read_timeout.get().unwrap_or(conf.socket_read_timeout);
    super::log::debug(call, |_| format!("lua tcp socket read timeout: {ms}"));
    let busy = Busy::new(&socket, |s| &s.reading);
    let from = connected.clone();
    let job = async move {
        let done = within(ms, from.read(&pattern)).await;
        drop(busy);
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

/// nil, the words, and what had come.
fn read_failed<'gc>(call: &mut Call<'_, 'gc>, connected: &Connected, failure: &Failure) -> Reply<'gc> {
    // (the socket stays open for close() and for writing, as in OpenResty: the connection remembers its end)
    let partial = connected.take_all();
    report(call, failure)?;
    call.push(Value::NIL);
    let words = call.cx.str(failure.words.as_bytes());
    call.push(words);
    let partial = call.string(partial)?;
    call.push(partial);
    Ok(Outcome::Return)
}

fn receiveuntil<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !matches!(call.len(), 2 | 3) {
        return Err(call.error(format!("expecting 2 or 3 arguments (including the object), but got {}", call.len())));
    }
    socket(call)?;
    let boundary = call.bytes(1)?.to_vec();
    if boundary.is_empty() {
        return call.ret_nil_err("pattern is empty");
    }
    let mut inclusive = false;
    if let Some(options) = call.opt_table(2)? {
        let v = options.field(b"inclusive");
        match v.kind() {
            Kind::Nil => {}
            Kind::Bool(b) => inclusive = b,
            _ => return Err(call.arg_error(2, &format!("bad \"inclusive\" option value type: {}", v.type_name()))),
        }
    }
    let state = Rc::new(std::cell::RefCell::new(Until { boundary, inclusive, done: false }));
    let state = call.wrap(state, None);
    let iterator = call.cx.native(&UNTIL, &[call.arg(0), Value::userdata(state)]);
    call.ret(iterator)
}

fn until_step<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let size = match vm::native::to_number(call.arg(0)) {
        Some(n) if n >= 1.0 => Some(n as usize),
        Some(_) => None,
        None => None,
    };
    call.set_len(call.len().max(1));
    let owner = call.upvalue(0);
    call.set_arg(0, owner);
    let socket = socket(call)?;
    let state = call.upvalue(1).as_userdata().and_then(|u| u.downcast::<std::cell::RefCell<Until>>());
    let Some(state) = state else { return call.ret(Value::NIL) };
    let connected = match readable(call, &socket)? {
        Ok(connected) => connected,
        Err(failure) => return fail(call, &failure),
    };
    let conf = request(call)?.exchange.lua_conf();
    let ms = socket.read_timeout.get().unwrap_or(conf.socket_read_timeout);
    super::log::debug(call, |_| format!("lua tcp socket read timeout: {ms}"));
    let busy = Busy::new(&socket, |s| &s.reading);
    let from = connected.clone();
    let mut until = state.borrow().clone();
    let job = async move {
        let done = within(ms, from.read_until(&mut until, size)).await;
        drop(busy);
        (until, done.unwrap_or_else(|| Err(Failure::timeout("lua tcp socket read timed out"))))
    };
    Outcome::park(What::Read, job, move |call, (until, done)| {
        *state.borrow_mut() = until;
        match done {
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
        }
    })
}

fn close<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let socket = own_socket(call)?;
    if socket.reading.get() {
        return call.ret_nil_err("socket busy reading");
    }
    if socket.writing.get() {
        return call.ret_nil_err("socket busy writing");
    }
    match socket.connected.borrow_mut().take() {
        Some(_) => {}
        None => return call.ret_nil_err("closed"),
    }
    call.ret(Value::num(1.0))
}

/// Milliseconds from Lua; nil and 0 mean the default.
fn milliseconds<'gc>(call: &Call<'_, 'gc>, i: usize) -> Result<Option<u64>, Value<'gc>> {
    if call.is_none_or_nil(i) {
        return Ok(None);
    }
    let n = call.number(i)?;
    if n < 0.0 { Err(call.error("bad timeout value")) } else { Ok((n >= 1.0).then_some(n as u64)) }
}

fn settimeout<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    count_timeouts(call, 2)?;
    let socket = socket(call)?;
    let ms = milliseconds(call, 1)?;
    socket.connect_timeout.set(ms);
    socket.send_timeout.set(ms);
    socket.read_timeout.set(ms);
    Ok(Outcome::Return)
}

/// (Both are named settimeout in their errors.)
fn count_timeouts<'gc>(call: &Call<'_, 'gc>, n: usize) -> Result<(), Value<'gc>> {
    if call.len() == n {
        return Ok(());
    }
    let words =
        format!("ngx.socket settimeout: expecting {n} arguments (including the object) but seen {}", call.len());
    Err(call.error(words))
}

fn settimeouts<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    count_timeouts(call, 4)?;
    let socket = socket(call)?;
    socket.connect_timeout.set(milliseconds(call, 1)?);
    socket.send_timeout.set(milliseconds(call, 2)?);
    socket.read_timeout.set(milliseconds(call, 3)?);
    Ok(Outcome::Return)
}

fn setoption<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let socket = socket(call)?;
    let name = call.bytes(1)?;
    let on = call.arg(2).truthy();
    let Some(connected) = socket.current() else { return call.ret_nil_err("closed") };
    let Some(stream) = connected.stream.tcp() else { return call.ret(Value::num(1.0)) };
    let done = match name {
        b"tcp-nodelay" => stream.set_nodelay(on),
        b"keepalive" => socket2::SockRef::from(stream).set_keepalive(on),
        b"reuseaddr" => socket2::SockRef::from(stream).set_reuse_address(on),
        b"sndbuf" => socket2::SockRef::from(stream).set_send_buffer_size(call.opt_integer(2, 0)?.max(0) as usize),
        b"rcvbuf" => socket2::SockRef::from(stream).set_recv_buffer_size(call.opt_integer(2, 0)?.max(0) as usize),
        other => {
            return call.ret_nil_err(format!("unsupported option {}", String::from_utf8_lossy(other)));
        }
    };
    match done {
        Ok(()) => call.ret(Value::num(1.0)),
        Err(e) => call.ret_nil_err(stdlib::io_error(&e).to_lowercase()),
    }
}

fn setkeepalive<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let socket = own_socket(call)?;
    if socket.reading.get() {
        return call.ret_nil_err("socket busy reading");
    }
    if socket.writing.get() {
        return call.ret_nil_err("socket busy writing");
    }
    let conf = request(call)?.exchange.lua_conf();
    let default_ms = conf.socket_keepalive_timeout;
    let ms = if call.is_none_or_nil(1) { default_ms } else { call.number(1)?.max(0.0) as u64 };
    let connected = socket.connected.borrow_mut().take();
    let Some(connected) = connected else {
        let line = "attempt to set keepalive on a closed socket: u:0000000000000000, c:0000000000000000, ft:0 eof:0";
        return fail(call, &Failure { words: "closed".into(), log: Some(line.into()), fatal: true });
    };
    if connected.eof.get() {
        return call.ret_nil_err("closed");
    }
    if connected.has_unread() {
        return call.ret_nil_err("connection in dubious state");
    }
    let size = match vm::native::to_number(call.arg(2)) {
        Some(n) if n >= 1.0 => n as usize,
        Some(n) => return Err(call.arg_error(2, &format!("bad \"pool_size\" option value: {n}"))),
        None => connected.pool_size,
    };
    // (a wait that was cancelled may still hold it for a moment: then it is not kept)
    let Ok(connected) = Rc::try_unwrap(connected) else { return call.ret(Value::num(1.0)) };
    super::log::debug(call, |_| match ms {
        0 => "lua tcp socket keepalive timeout: unlimited".into(),
        ms => format!("lua tcp socket keepalive timeout: {ms} ms"),
    });
    super::log::debug(call, |_| format!("lua tcp socket connection pool size: {size}"));
    let worker = worker(call)?;
    worker.sockets.put(&worker, connected, ms, size);
    call.ret(Value::num(1.0))
}

fn getreusedtimes<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let socket = own_socket(call)?;
    let Some(connected) = socket.current() else { return call.ret_nil_err("closed") };
    call.ret(Value::num(connected.reused as f64))
}
