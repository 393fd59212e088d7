//! ngx.socket.udp and its methods. As with streams, a socket is a table whose first item is the host object.
use std::rc::Rc;

use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Value, What, row};

use super::ngx_table::warn;
use super::socket::{address, fail, payload};
use super::{request, row_in, worker};
use crate::cosocket::udp::{self, Busy, Socket};
use crate::cosocket::{Failure, Names, Target};
use crate::log::Level;
use crate::phase::{ANY, Phase};

static NATIVES: &[Row] =
    &[row_in("udp", new, ANY & !Phase::Init.bit(), "ngx.socket.udp() -> a datagram socket without a peer")];

static METHODS: &[Row] = &[
    row("setpeername", setpeername, "sock:setpeername(host, port) or (\"unix:/path\") -> 1, or nil and a message"),
    row("send", send, "sock:send(data) -> 1, or nil and a message"),
    row("receive", receive, "sock:receive([size]) -> data, or nil and a message"),
    row("settimeout", settimeout, "sock:settimeout(ms)"),
    row("close", close, "sock:close() -> 1, or nil and a message"),
];

/// Newer than the version we say we are: found like the others, but not listed with them.
static LATER: &[Row] =
    &[row("bind", bind, "sock:bind(address) -> true, or nil and a message: the local address for setpeername")];

/// Longer datagrams are cut.
const MAX_DATAGRAM: i64 = 65536;

pub fn open(cx: Cx<'_>) {
    cx.library("ngx.socket", NATIVES);
    let methods = super::ngx_table::meta(cx, METHODS);
    let all = super::ngx_table::meta(cx, METHODS);
    cx.register(all, LATER);
    cx.set_field(methods, "__index", Value::table(all));
    cx.set_field(cx.registry(), "udp socket", Value::table(methods));
}

fn new<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !call.is_empty() {
        return Err(call.error(format!("expecting zero arguments, but got {}", call.len())));
    }
    let cx = call.cx;
    let t = cx.table(1, 0);
    t.set_int(cx.mc, 1, Value::userdata(cx.userdata(Rc::new(Socket::default()), None)));
    t.set_metatable(cx.mc, cx.registry().field(b"udp socket").as_table());
    call.ret(Value::table(t))
}

fn socket<'gc>(call: &Call<'_, 'gc>) -> Result<Rc<Socket>, Value<'gc>> {
    let object = call.table(0)?.get_int(1).as_userdata();
    object.and_then(|u| u.downcast::<Socket>()).ok_or_else(|| call.type_error(0, "udp socket"))
}

/// The socket of a method call, refused to requests that it does not belong to.
fn own_socket<'gc>(call: &mut Call<'_, 'gc>) -> Result<Rc<Socket>, Value<'gc>> {
    let socket = socket(call)?;
    if socket.belongs_to(request(call)?) { Ok(socket) } else { Err(call.error("bad request")) }
}

fn setpeername<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !matches!(call.len(), 2 | 3) {
        return Err(call.error(format!(
            "ngx.socket.udp setpeername: expecting 2 or 3 arguments (including the object), but seen {}",
            call.len()
        )));
    }
    let socket = own_socket(call)?;
    let host = String::from_utf8_lossy(call.bytes(1)?).into_owned();
    let target = match host.strip_prefix("unix:") {
        Some(path) => Target::Unix(path.to_string()),
        None => {
            let port = call.integer(2)?;
            match u16::try_from(port) {
                Ok(port) => match Target::tcp(&host, port) {
                    Ok(target) => target,
                    Err(wrong) => return call.ret_nil_err(format!("failed to parse host name \"{host}\": {wrong}")),
                },
                Err(_) => return call.ret_nil_err(format!("bad port number: {port}")),
            }
        }
    };
    if socket.busy.get() {
        return call.ret_nil_err("socket busy");
    }
    if socket.peer.borrow_mut().take().is_some() {
        let request = request(call)?;
        warn(request, Level::Debug, b"lua udp socket reconnect without shutting down");
        warn(request, Level::Debug, b"lua reuse socket upstream ctx");
    }
    socket.owner.set(request(call)?);
    let owner = worker(call)?;
    let names = Names::new(owner, request(call)?.exchange.lua_conf());
    let local = socket.local.get();
    let busy = Busy::new(&socket);
    let job = async move {
        let opened = udp::open(&target, &names, local).await;
        busy.over();
        opened
    };
    Outcome::park(What::Connect, job, move |call, opened| match opened {
        Ok(peer) => {
            *socket.peer.borrow_mut() = Some(Rc::new(peer));
            call.ret(Value::num(1.0))
        }
        Err(failure) => fail(call, &failure),
    })
}

fn bind<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 2 {
        return Err(call.error(format!("expecting 2 arguments, but got {}", call.len())));
    }
    let socket = socket(call)?;
    let Some(address) = address(call.bytes(1)?) else { return call.ret_nil_err("bad address") };
    socket.local.set(Some(address));
    super::log::debug(call, |_| format!("lua udp socket bind ip: {address}"));
    call.ret(Value::TRUE)
}

/// "closed", and a line in the log.
fn closed<'gc>(call: &mut Call<'_, 'gc>, doing: &str) -> Reply<'gc> {
    let line = format!("attempt to {doing} data on a closed socket: u:0000000000000000, c:0000000000000000");
    fail(call, &Failure { log: Some(line), ..Failure::closed() })
}

fn send<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 2 {
        return Err(call.error(format!("expecting 2 arguments (including the object), but got {}", call.len())));
    }
    let socket = own_socket(call)?;
    let Some(peer) = socket.current() else { return closed(call, "send") };
    if socket.busy.get() {
        return call.ret_nil_err("socket busy");
    }
    let mut gathered = Vec::new();
    let bytes = payload(call, &mut gathered)?.to_vec();
    call.charge(bytes.len() / 32 + 1);
    let (fd, len) = (peer.fd(), bytes.len());
    let job = async move { peer.send(&bytes).await };
    Outcome::park(What::Write, job, move |call, sent| match sent {
        Ok(()) => {
            warn(request(call)?, Level::Debug, format!("send: fd:{fd} {len} of {len}").as_bytes());
            call.ret(Value::num(1.0))
        }
        Err(failure) => fail(call, &failure),
    })
}

fn receive<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !matches!(call.len(), 1 | 2) {
        return Err(call.error(format!("expecting 1 or 2 arguments (including the object), but got {}", call.len())));
    }
    let socket = own_socket(call)?;
    let Some(peer) = socket.current() else { return closed(call, "receive") };
    if socket.busy.get() {
        return call.ret_nil_err("socket busy");
    }
    let size = call.opt_integer(1, MAX_DATAGRAM)?.clamp(1, MAX_DATAGRAM) as usize;
    call.reserve(size)?;
    let request = request(call)?;
    let default = request.exchange.lua_conf().socket_read_timeout;
    warn(request, Level::Debug, format!("lua udp socket receive buffer size: {size}").as_bytes());
    let ms = socket.read_timeout.get().unwrap_or(default);
    let busy = Busy::new(&socket);
    let job = async move {
        let received = peer.receive(size, ms).await;
        busy.over();
        received
    };
    Outcome::park(What::Read, job, |call, received| match received {
        Ok(bytes) => {
            let v = call.string(bytes)?;
            call.ret(v)
        }
        Err(failure) => fail(call, &failure),
    })
}

fn settimeout<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 2 {
        let words = "ngx.socket settimeout: expecting at least 2 arguments (including the object) but seen";
        return Err(call.error(format!("{words} {}", call.len())));
    }
    let ms = vm::native::to_number(call.arg(1)).unwrap_or(0.0);
    socket(call)?.read_timeout.set((ms > 0.0).then_some(ms as u64));
    Ok(Outcome::Return)
}

fn close<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 1 {
        return Err(call.error(format!("expecting 1 argument (including the object) but seen {}", call.len())));
    }
    let socket = own_socket(call)?;
    if socket.busy.get() {
        return call.ret_nil_err("socket busy");
    }
    match socket.peer.borrow_mut().take() {
        Some(_) => call.ret(Value::num(1.0)),
        None => call.ret_nil_err("closed"),
    }
}
