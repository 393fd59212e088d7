//! connect, bind, setkeepalive: where a socket's connection comes from and goes to.
use std::rc::Rc;

use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Outcome, Reply, Value, What};

use super::{OWN, Quiet, adopt, busy, count, fail, new_socket, own_socket, socket};
use crate::api::log::debug;
use crate::api::{request, worker};
use crate::cosocket::{
    self, Connected, Connecting, Entry, Failure, Names, Queued, Route, Seat, Socket, Source, Stage, Target, Trace,
    Unfit, within,
};

/// The options of `connect`.
#[derive(Default)]
struct Options {
    pool: Option<Vec<u8>>,
    pool_size: Option<usize>,
    backlog: Option<usize>,
}

pub fn connect_new<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    // The socket goes before the arguments, and is the result where 1 would be.
    let args: Vec<_> = (0..call.len()).map(|i| call.arg(i)).collect();
    let fresh = new_socket(call, OWN, Rc::default());
    call.set_len(args.len() + 1);
    call.set_arg(0, fresh);
    for (i, v) in args.into_iter().enumerate() {
        call.set_arg(i + 1, v);
    }
    start(call, true)
}

pub fn connect<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    start(call, false)
}

/// The table at the arguments' end.
fn options<'gc>(call: &Call<'_, 'gc>) -> Result<Options, Value<'gc>> {
    let last = call.len() - 1;
    let mut found = Options::default();
    let Some(table) = call.arg(last).as_table() else { return Ok(found) };
    let size = table.field(b"pool_size");
    match vm::native::to_number(size) {
        Some(n) if n >= 1.0 => found.pool_size = Some(n as usize),
        Some(n) => return Err(call.arg_error(last, &format!("bad \"pool_size\" option value: {}", n as i64))),
        None if size.is_nil() => {}
        None => return Err(call.arg_error(last, &format!("bad \"pool_size\" option type: {}", size.type_name()))),
    }
    match vm::native::to_number(table.field(b"backlog")) {
        Some(n) if n > -1.0 => found.backlog = Some(n as usize),
        Some(n) => return Err(call.arg_error(last, &format!("bad \"backlog\" option value: {}", n as i64))),
        None => {}
    }
    let name = table.field(b"pool");
    match name.kind() {
        Kind::Nil => {}
        Kind::Str(_) | Kind::Num(_) => found.pool = Some(call.cx.raw_tostring(name)),
        _ => return Err(call.arg_error(last, &format!("bad \"pool\" option type: {}", name.type_name()))),
    }
    Ok(found)
}

/// Where the arguments say that it goes (or what is wrong with the host), and the pool's name unless an option gives another.
type Asked = (Result<Target, &'static str>, Vec<u8>);

/// Err: the words for nil and a message.
fn target<'gc>(call: &Call<'_, 'gc>) -> Result<Result<Asked, String>, Value<'gc>> {
    let bytes = call.bytes(1)?;
    let host = String::from_utf8_lossy(bytes);
    let port = vm::native::to_number(call.arg(2)).filter(|_| call.len() > 2);
    if let Some(port) = port {
        let port = port.trunc();
        if !(0.0..=65535.0).contains(&port) {
            return Ok(Err(format!("bad port number: {}", port as i64)));
        }
        let pool = [bytes, b":", &call.cx.raw_tostring(call.arg(2))].concat();
        let target = unix(&host).map_or_else(|| Target::tcp(&host, port as u16), Ok);
        return Ok(Ok((target, pool)));
    }
    Ok(match unix(&host) {
        Some(target) => Ok((Ok(target), bytes.to_vec())),
        None => Err("missing the port number".into()),
    })
}

fn unix(host: &str) -> Option<Target> {
    let start = host.get(..5)?;
    start.eq_ignore_ascii_case("unix:").then(|| Target::Unix(host[5..].to_string()))
}

fn start<'gc>(call: &mut Call<'_, 'gc>, give_socket: bool) -> Reply<'gc> {
    if !matches!(call.len(), 2..=4) {
        return Err(call.error(format!(
            "ngx.socket connect: expecting 2, 3, or 4 arguments (including the object), but seen {}",
            call.len()
        )));
    }
    let socket = socket(call)?;
    let options = options(call)?;
    let (target, key) = match target(call)? {
        Ok(found) => found,
        Err(words) => return call.ret_nil_err(words),
    };
    let key = options.pool.unwrap_or(key);
    own_socket(call)?;
    if let Some(words) = busy(&socket, Quiet::Both) {
        return call.ret_nil_err(words);
    }
    if socket.connected.borrow_mut().take().is_some() {
        debug(call, |_| "lua tcp socket reconnect without shutting down".into());
        debug(call, |_| "lua reuse socket upstream ctx".into());
    }
    let owner = worker(call)?;
    adopt(request(call)?, &socket);
    let conf = request(call)?.exchange.lua_conf();
    let size = options.pool_size.or(options.backlog.map(|_| conf.socket_pool_size));
    let ms = socket.connect_timeout.get().unwrap_or(conf.socket_connect_timeout);
    let names = Names::new(owner.clone(), conf);
    let local = socket.local.get();
    // (a host that is none is told of when its turn has come)
    let route = match target {
        Ok(target) => Ok(Route { target, local, names, ms }),
        Err(wrong) => {
            let host = String::from_utf8_lossy(call.bytes(1)?);
            Err(Failure::silent(format!("failed to parse host name \"{host}\": {wrong}")))
        }
    };
    let known = owner.sockets.find(&key);
    let pool = match (known, size) {
        (None, Some(size)) => {
            tell_pool(call, &key, size, options.backlog);
            Some(owner.sockets.create(&key, size, options.backlog))
        }
        (known, _) => known,
    };
    let (mut seat, mut queued, mut to) = (None, None, String::new());
    if let Some(pool) = &pool {
        debug(call, |_| "lua tcp socket pool get keepalive peer".into());
        let entry = pool.enter();
        match entry {
            Entry::Idle(connected) => return connected_reply(call, &socket, connected, give_socket),
            Entry::Full => return call.ret_nil_err("too many waiting connect operations"),
            Entry::Seat(free) => seat = Some(free),
            Entry::Queued(place) => {
                let port = vm::native::to_number(call.arg(2)).unwrap_or(0.0).trunc();
                to = format!("{}:{port}", String::from_utf8_lossy(call.bytes(1)?));
                queued = Some(place);
            }
        }
        match &queued {
            None => debug(call, |_| "lua tcp socket keepalive: connection pool empty".into()),
            Some(_) => debug(call, |_| {
                let name = String::from_utf8_lossy(&key);
                let count = pool.connections();
                format!("lua tcp socket queue connect operation for connection pool \"{name}\", connections: {count}")
            }),
        }
    }
    if queued.is_none() {
        if let Err(failure) = &route {
            return call.ret_nil_err(&failure.words);
        }
        debug(call, |_| format!("lua tcp socket connect timeout: {ms}"));
    }
    let stage = match &route {
        _ if queued.is_some() => Stage::Queued,
        Ok(route) => route.target.stage(),
        Err(_) => Stage::Idle,
    };
    let connecting = Connecting::new(&socket, stage, request(call)?);
    let job = async move {
        let made = make(route, ms, to, key, seat, queued, &connecting).await;
        connecting.over();
        made
    };
    Outcome::park(What::Connect, job, move |call, result| match result {
        Ok(connected) => connected_reply(call, &socket, connected, give_socket),
        Err(failure) => fail(call, &failure),
    })
}

/// Waits for a seat if need be, and connects.
async fn make(
    route: Result<Route, Failure>,
    ms: u64,
    to: String,
    key: Vec<u8>,
    mut seat: Option<Seat>,
    queued: Option<Queued>,
    connecting: &Connecting,
) -> Result<Connected, Failure> {
    if let Some(queued) = queued {
        if within(ms, queued.turn()).await.is_none() {
            queued.late();
            let line = format!("lua tcp socket queued connect timed out, when trying to connect to {to}");
            return Err(Failure::timeout(&line));
        }
        match queued.take() {
            Ok(connected) => return Ok(connected),
            Err(free) => seat = free,
        }
    }
    let route = route?;
    connecting.at(route.target.stage());
    let stream = cosocket::connect(&route, || connecting.at(Stage::Connecting)).await?;
    let mut connected = Connected::new(Source::Peer(cosocket::Outlet::new(stream)), key);
    connected.seat = seat;
    Ok(connected)
}

fn tell_pool<'gc>(call: &mut Call<'_, 'gc>, key: &[u8], size: usize, backlog: Option<usize>) {
    let backlog = backlog.map_or(-1, |n| n as i64);
    debug(call, |_| format!("lua tcp socket connection pool size: {size}, backlog: {backlog}"));
    debug(call, |_| {
        format!("lua tcp socket keepalive create connection pool for key \"{}\"", String::from_utf8_lossy(key))
    });
}

fn connected_reply<'gc>(
    call: &mut Call<'_, 'gc>,
    socket: &Rc<Socket>,
    mut connected: Connected,
    give_socket: bool,
) -> Reply<'gc> {
    if connected.reused > 0 {
        let fd = connected.stream.fd();
        debug(call, |_| format!("lua tcp socket get keepalive peer: using connection fd:{fd}"));
    }
    connected.trace = Trace::new(request(call)?);
    connected.nodelay_told.set(connected.reused > 0);
    *socket.connected.borrow_mut() = Some(Rc::new(connected));
    if give_socket {
        return call.ret(call.arg(0));
    }
    call.ret(Value::num(1.0))
}

pub fn bind<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 2 {
        return Err(call.error(format!("expecting 2 arguments, but got {}", call.len())));
    }
    let socket = socket(call)?;
    let Some(address) = super::address(call.bytes(1)?) else {
        return call.ret_nil_err("bad address");
    };
    socket.local.set(Some(address));
    debug(call, |_| format!("lua tcp socket bind ip: {address}"));
    call.ret(Value::TRUE)
}

pub fn setkeepalive<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    count(call, 1..=3, "1 to 3 arguments")?;
    let socket = socket(call)?;
    let current = socket.current();
    if !super::is_open(&socket)
        || current.as_ref().is_some_and(|c| c.read_closed.get() || c.write_closed.get() || c.eof.get())
    {
        return call.ret_nil_err("closed");
    }
    own_socket(call)?;
    if let Some(words) = busy(&socket, Quiet::Both) {
        return call.ret_nil_err(words);
    }
    let Some(current) = current else { return call.ret_nil_err("closed") };
    if current.has_unread() {
        return call.ret_nil_err("unread data in buffer");
    }
    let conf = request(call)?.exchange.lua_conf();
    let (default_ms, default_size) = (conf.socket_keepalive_timeout, conf.socket_pool_size);
    let worker = worker(call)?;
    if worker.is_exiting() {
        let fd = current.stream.fd();
        debug(call, |_| format!("lua tcp socket set keepalive while process exiting, closing connection fd:{fd}"));
        *socket.connected.borrow_mut() = None;
        return call.ret(Value::num(1.0));
    }
    let fd = current.stream.fd();
    debug(call, |_| format!("lua tcp socket set keepalive: saving connection fd:{fd}"));
    let size = if call.is_none_or_nil(2) { default_size as i64 } else { call.integer(2)? };
    let pool = match worker.sockets.find(&current.pool) {
        Some(pool) => pool,
        None => {
            let Ok(size @ 1..) = usize::try_from(size) else {
                return Err(call.arg_error(call.len() - 1, &format!("bad \"pool_size\" option value: {size}")));
            };
            tell_pool(call, &current.pool, size, None);
            worker.sockets.create(&current.pool, size, None)
        }
    };
    let ms = if call.is_none_or_nil(1) { default_ms } else { u64::try_from(call.integer(1)?).unwrap_or(0) };
    debug(call, |_| match ms {
        0 => "lua tcp socket keepalive timeout: unlimited".into(),
        ms => format!("lua tcp socket keepalive timeout: {ms} ms"),
    });
    *socket.connected.borrow_mut() = None;
    // (a wait that was cancelled may still hold it for a moment: then it is not kept)
    let Ok(connected) = Rc::try_unwrap(current) else { return call.ret(Value::num(1.0)) };
    match pool.put(connected, ms) {
        Ok(()) => call.ret(Value::num(1.0)),
        Err(Unfit::Closed) => call.ret_nil_err("closed"),
        Err(Unfit::Unread) => call.ret_nil_err("connection in dubious state"),
    }
}
