//! Stream sockets: `ngx.socket.tcp`, `ngx.req.socket`, and their methods.
//!
//! A socket is a table (as in OpenResty: libraries hang fields on it) whose first item is the host object. There are three
//! kinds, which differ in their methods: a socket of its own, the request body, and the client's connection as a whole.
mod connect;
mod downstream;
mod options;
mod read;
mod tls;

use std::rc::Rc;

use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Value, What, row};

use super::output::{write_list, write_scalar};
use super::{request, row_in};
use crate::cosocket::{Busy, Failure, Socket, Stage, within};
use crate::log::Level;
use crate::phase::{ANY, Phase, REQUEST};
use crate::request::Request;

const LEGAL: u32 = ANY & !Phase::Init.bit();

static NATIVES: &[Row] = &[
    row_in("tcp", tcp, LEGAL, "ngx.socket.tcp() -> a stream socket, not connected"),
    row_in("stream", tcp, LEGAL, "ngx.socket.stream() -> the same"),
    row_in("connect", connect::connect_new, LEGAL, "ngx.socket.connect(host, port, ...) -> a connected socket"),
];

static REQ: &[Row] = &[row_in(
    "socket",
    downstream::socket,
    REQUEST,
    "ngx.req.socket([raw]) -> the request body, or the client's connection, as a socket; or nil and a message",
)];

/// A socket of its own.
static METHODS: &[Row] = &[
    row(
        "connect",
        connect::connect,
        "sock:connect(host, port [, opts]) or (\"unix:/path\" [, opts]) -> 1, or nil and a message",
    ),
    row("bind", connect::bind, "sock:bind(address) -> true, or nil and a message: the local address for connect"),
    row("close", close, "sock:close() -> 1, or nil and a message"),
    row(
        "sslhandshake",
        tls::sslhandshake,
        "sock:sslhandshake([session [, name [, verify [, status_request]]]]) -> a session (true for a session of false), or nil and a message",
    ),
    row("setclientcert", tls::setclientcert, "sock:setclientcert(chain, key) -> true, or nil and a message"),
    row("setoption", options::set, "sock:setoption(name, value) -> true, or nil and a message"),
    row("getoption", options::get, "sock:getoption(name) -> number, or nil and a message"),
    row("setkeepalive", connect::setkeepalive, "sock:setkeepalive([ms [, size]]) -> 1, or nil and a message"),
    row("getreusedtimes", getreusedtimes, "sock:getreusedtimes() -> how often it came out of the pool"),
];

/// Newer than the version we say we are: found like the others, but not listed with them.
static LATER: &[Row] = &[
    row("settrustedstore", tls::settrustedstore, "sock:settrustedstore(chain) -> true, or nil and a message"),
    row("getsslsession", tls::getsslsession, "sock:getsslsession() -> a session, or nil and a message"),
    row("getfd", tls::getfd, "sock:getfd() -> number, or nil and a message"),
];

/// What the client's connection has, too.
static WRITING: &[Row] = &[row("send", send, "sock:send(data) -> bytes, or nil and a message")];

/// What all three have.
static READING: &[Row] = &[
    row("receive", read::receive, "sock:receive([size or pattern]) -> data, or nil, message and what came"),
    row("receiveany", read::receiveany, "sock:receiveany(max) -> whatever comes first, or nil and a message"),
    row("receiveuntil", read::receiveuntil, "sock:receiveuntil(pattern [, opts]) -> an iterator"),
    row("settimeout", options::settimeout, "sock:settimeout(ms)"),
    row("settimeouts", options::settimeouts, "sock:settimeouts(connect, send, read), in ms"),
];

/// Registry names of the three kinds' metatables.
const OWN: &str = "tcp socket";
const BODY: &str = "request socket";
const RAW: &str = "raw request socket";

pub fn open(cx: Cx<'_>) {
    cx.library("ngx.socket", NATIVES);
    cx.library("ngx.req", REQ);
    let kinds: [(&str, &[&[Row]]); 3] =
        [(OWN, &[METHODS, WRITING, READING]), (RAW, &[WRITING, READING]), (BODY, &[READING])];
    for (name, families) in kinds {
        // (the methods are in the metatable itself, as in OpenResty)
        let meta = cx.table(0, 16);
        for rows in families {
            cx.register(meta, rows);
        }
        let index = if name == OWN { all(cx) } else { meta };
        cx.set_field(meta, "__index", Value::table(index));
        cx.set_field(cx.registry(), name, Value::table(meta));
    }
}

/// The methods of a socket of its own, the later ones among them.
fn all(cx: Cx<'_>) -> vm::value::Table<'_> {
    let all = cx.table(0, 32);
    for rows in [METHODS, WRITING, READING, LATER] {
        cx.register(all, rows);
    }
    all
}

fn new_socket<'gc>(call: &mut Call<'_, 'gc>, kind: &str, socket: Rc<Socket>) -> Value<'gc> {
    let object = call.wrap(socket, None);
    // (the object and the limits)
    let t = call.cx.table(5, 0);
    t.set_int(call.cx.mc, 1, Value::userdata(object));
    let meta = call.cx.registry().field(kind.as_bytes()).as_table();
    t.set_metatable(call.cx.mc, meta);
    Value::table(t)
}

fn tcp<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !call.is_empty() {
        return Err(call.error(format!("expecting zero arguments, but got {}", call.len())));
    }
    let socket = new_socket(call, OWN, Rc::default());
    call.ret(socket)
}

/// Refuses a wrong number of arguments, the object included: `wanted` says which is right.
fn count<'gc>(call: &Call<'_, 'gc>, right: std::ops::RangeInclusive<usize>, wanted: &str) -> Result<(), Value<'gc>> {
    if right.contains(&call.len()) {
        return Ok(());
    }
    Err(call.error(format!("expecting {wanted} (including the object), but got {}", call.len())))
}

/// The socket behind the table that is argument 0. (Any other table is a socket that was never connected.)
fn socket<'gc>(call: &Call<'_, 'gc>) -> Result<Rc<Socket>, Value<'gc>> {
    let object = call.table(0)?.get_int(1).as_userdata();
    Ok(object.and_then(|u| u.downcast::<Socket>()).unwrap_or_default())
}

/// The same, refused to requests that it does not belong to.
fn own_socket<'gc>(call: &mut Call<'_, 'gc>) -> Result<Rc<Socket>, Value<'gc>> {
    let socket = socket(call)?;
    if socket.belongs_to(request(call)?) { Ok(socket) } else { Err(call.error("bad request")) }
}

/// What a socket must not be doing for an operation.
#[derive(Clone, Copy)]
enum Quiet {
    Reading,
    Writing,
    Both,
}

/// Why an operation cannot begin now.
fn busy(socket: &Socket, quiet: Quiet) -> Option<&'static str> {
    if socket.stage.get() != Stage::Idle {
        return Some("socket busy connecting");
    }
    if socket.reading.get() && !matches!(quiet, Quiet::Writing) {
        return Some("socket busy reading");
    }
    (socket.writing.get() && !matches!(quiet, Quiet::Reading)).then_some("socket busy writing")
}

/// Connected, or about to be: an operation may still find it busy.
fn is_open(socket: &Socket) -> bool {
    socket.connected.borrow().is_some() || socket.stage.get() == Stage::Connecting
}

/// nil and the words; the log hears of it, too.
pub(crate) fn fail<'gc>(call: &mut Call<'_, 'gc>, failure: &Failure) -> Reply<'gc> {
    report(call, failure)?;
    call.ret_nil_err(&failure.words)
}

fn report<'gc>(call: &mut Call<'_, 'gc>, failure: &Failure) -> Result<(), Value<'gc>> {
    let request = request(call)?;
    if let Some(line) = &failure.log
        && (failure.level == Level::Alert || request.exchange.lua_conf().socket_log_errors)
        && request.log.enabled(failure.level)
    {
        request.log.write(failure.level, line.as_bytes(), Some(request));
    }
    Ok(())
}

/// A timeout of the socket's own, or the directive's.
fn limit<'gc>(
    call: &mut Call<'_, 'gc>,
    own: &std::cell::Cell<Option<u64>>,
    default: fn(&crate::request::LuaConf) -> u64,
) -> Result<u64, Value<'gc>> {
    Ok(own.get().unwrap_or(default(request(call)?.exchange.lua_conf())))
}

fn send<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    count(call, 2..=2, "2 arguments")?;
    let socket = socket(call)?;
    let connected = socket.current().filter(|connected| !connected.write_closed.get());
    if connected.is_none() && socket.stage.get() != Stage::Connecting {
        return fail(call, &Failure::not_connected("send data on"));
    }
    own_socket(call)?;
    if let Some(words) = busy(&socket, Quiet::Writing) {
        return call.ret_nil_err(words);
    }
    let Some(connected) = connected else { return call.ret_nil_err("closed") };
    let ms = limit(call, &socket.send_timeout, |conf| conf.socket_send_timeout)?;
    super::log::debug(call, |_| format!("lua tcp socket send timeout: {ms}"));
    let mut gathered = Vec::new();
    let bytes = payload(call, &mut gathered)?;
    if bytes.is_empty() {
        return call.ret(Value::num(0.0));
    }
    if !connected.nodelay_told.replace(true) && request(call)?.exchange.lua_conf().tcp_nodelay {
        super::log::debug(call, |_| "lua socket tcp_nodelay".into());
    }
    call.charge(bytes.len() / 32);
    let total = bytes.len();
    if connected.write_soon(bytes, ms) {
        return call.ret(Value::num(total as f64));
    }
    let sent = match connected.write_now(bytes) {
        Ok(sent) if sent == total => return call.ret(Value::num(total as f64)),
        Ok(sent) => sent,
        Err(failure) => {
            connected.write_closed.set(true);
            return fail(call, &failure);
        }
    };
    let rest = bytes[sent..].to_vec();
    let busy = Busy::writing(&socket);
    let job = {
        let connected = connected.clone();
        async move {
            let done = within(ms, connected.write(&rest)).await;
            busy.over();
            done.unwrap_or_else(|| Err(Failure::timeout("lua tcp socket write timed out")))
        }
    };
    Outcome::park(What::Write, job, move |call, done| match done {
        Ok(()) => call.ret(Value::num(total as f64)),
        Err(failure) => {
            connected.write_closed.set(true);
            fail(call, &failure)
        }
    })
}

/// What argument 1 of `send` says is to be sent.
pub(crate) fn payload<'a, 'gc: 'a>(call: &Call<'_, 'gc>, gathered: &'a mut Vec<u8>) -> Result<&'a [u8], Value<'gc>> {
    let data = call.arg(1);
    match data.kind() {
        Kind::Str(s) => return Ok(Call::as_bytes(s)),
        Kind::Table(t) => {
            write_list(t, gathered, true, 0).map_err(|bad| call.arg_error(1, &bad))?;
        }
        Kind::Num(_) | Kind::Nil | Kind::Bool(_) => {
            write_scalar(data, gathered);
        }
        _ => {
            let got = data.type_name();
            let words = format!("string, number, boolean, nil, or array table expected, got {got}");
            return Err(call.arg_error(1, &words));
        }
    }
    Ok(gathered)
}

fn close<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 1 {
        return Err(call.error(format!("expecting 1 argument (including the object) but seen {}", call.len())));
    }
    let socket = socket(call)?;
    if !is_open(&socket) {
        return call.ret_nil_err("closed");
    }
    own_socket(call)?;
    if let Some(words) = busy(&socket, Quiet::Both) {
        return call.ret_nil_err(words);
    }
    let connected = socket.connected.borrow_mut().take();
    match connected {
        Some(connected) if connected.read_closed.get() && connected.write_closed.get() => call.ret_nil_err("closed"),
        Some(_) => call.ret(Value::num(1.0)),
        None => call.ret_nil_err("closed"),
    }
}

fn getreusedtimes<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 1 {
        return Err(call.error(format!("expecting 1 argument (including the object), but got {}", call.len())));
    }
    let socket = socket(call)?;
    if !is_open(&socket) {
        return call.ret_nil_err("closed");
    }
    call.ret(Value::num(socket.current().map_or(0.0, |connected| connected.reused as f64)))
}

/// Notes a socket that got its connection with the request, whose end is the connection's.
fn adopt(request: &mut Request, socket: &Rc<Socket>) {
    socket.owner.set(request);
    let sockets = request.lua.sockets.get_or_init(Rc::default);
    if sockets.borrow_mut().add(socket) {
        super::ngx_table::warn(request, crate::log::Level::Debug, b"lua http cleanup reuse");
    }
}

/// An address as `bind` takes it: no name, no port.
pub(crate) fn address(text: &[u8]) -> Option<std::net::IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text).parse().ok()
}
