//! sslhandshake, setclientcert, settrustedstore, getsslsession: TLS over a connection that there is.
use std::rc::Rc;
use std::sync::Arc;

use vm::value::table::TableRef;
use vm::{Call, Outcome, Reply, Value, What};

use super::{Quiet, busy, is_open, socket};
use crate::api::log::debug;
use crate::api::request;
use crate::cosocket::{Connected, Connecting, Socket, Source, Stage, within};
use crate::log::{Level, Log};
use crate::tls::{Ask, Broken, Chain, Client, Key, Session, Tls, Trust};

/// Where the socket's table keeps the certificate and the key to show, as in OpenResty.
const CERTIFICATE: usize = 6;
const KEY: usize = 7;

/// A session in Lua's hands. The log learns when it is let go.
struct Held {
    session: Arc<Session>,
    log: Option<Rc<dyn Log>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            let line = format!("lua ssl free session: {}", shown(&self.session));
            log.write(Level::Debug, line.as_bytes(), None);
        }
    }
}

/// As nginx prints pointers.
fn shown(session: &Arc<Session>) -> String {
    format!("{:016X}", Arc::as_ptr(session).addr())
}

/// A host object of that kind, if it is one.
fn object<T: 'static>(v: Value<'_>) -> Option<Rc<T>> {
    v.as_userdata().and_then(|object| object.downcast::<T>())
}

fn hold<'gc>(call: &mut Call<'_, 'gc>, session: &Arc<Session>) -> Result<Value<'gc>, Value<'gc>> {
    let log = request(call)?.log.clone();
    let log = log.enabled(Level::Debug).then_some(log);
    Ok(call.cx.cdata(Rc::new(Held { session: session.clone(), log })))
}

/// The socket of a method call, which some request has connected at least once.
fn known<'gc>(call: &Call<'_, 'gc>) -> Result<Rc<Socket>, Value<'gc>> {
    let socket = socket(call)?;
    if socket.owner.is_known() { Ok(socket) } else { Err(call.error("socket is never created nor connected")) }
}

/// Why nothing can be begun with the connection; None: it can.
fn unusable<'gc>(call: &mut Call<'_, 'gc>, socket: &Socket) -> Result<Option<&'static str>, Value<'gc>> {
    let ended = |connected: &Rc<Connected>| connected.read_closed.get() || connected.write_closed.get();
    if !is_open(socket) || socket.current().as_ref().is_some_and(ended) {
        return Ok(Some("closed"));
    }
    Ok((!socket.belongs_to(request(call)?)).then_some("bad request"))
}

pub fn sslhandshake<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !(1..=5).contains(&call.len()) {
        let words = "ngx.socket sslhandshake: expecting 1 ~ 5 arguments (including the object), but seen";
        return Err(call.error(format!("{words} {}", call.len())));
    }
    let socket = known(call)?;
    debug(call, |_| "lua tcp socket ssl handshake".into());
    let name = match call.arg(2) {
        absent if !absent.truthy() => None,
        _ => Some(String::from_utf8_lossy(call.bytes(2)?).into_owned()),
    };
    let (verify, wants_session) = (call.arg(3).truthy(), !call.arg(1).identical(Value::FALSE));
    let reused = object::<Held>(call.arg(1));
    if let Some(words) = unusable(call, &socket)? {
        return call.ret_nil_err(words);
    }
    if let Some(words) = busy(&socket, Quiet::Both) {
        return call.ret_nil_err(words);
    }
    if let Some(done) = socket.current()
        && let Source::Secure(tls) = &done.stream
    {
        return if reused.is_some() { call.ret(call.arg(1)) } else { given(call, tls, wants_session) };
    }
    let table = call.table(0)?;
    let chain = object::<Chain>(table.get_int(CERTIFICATE));
    let key = object::<Key>(table.get_int(KEY));
    let credentials = match (chain, key) {
        (Some(chain), Some(key)) if key.fits(&chain) => Some(key.show(&chain)),
        (Some(_), Some(_)) => return call.ret_nil_err("ssl set client private key failed"),
        _ => None,
    };
    let conf = request(call)?.exchange.lua_conf();
    let (client, log_errors) = (conf.tls.clone(), conf.socket_log_errors);
    let ms = socket.connect_timeout.get().unwrap_or(conf.socket_connect_timeout);
    if let Some(held) = &reused {
        debug(call, |_| format!("lua ssl set session: {}", shown(&held.session)));
    }
    if let Some(name) = &name {
        debug(call, |_| format!("lua ssl server name: \"{name}\""));
    }
    // (nobody uses it now, and what an earlier wait may still hold of it is let go)
    let taken = socket.connected.borrow_mut().take().map(Rc::try_unwrap);
    let Some(Ok(plain)) = taken else { return call.ret_nil_err("closed") };
    let Connected { stream, pool, seat, reused: times, nodelay_told, trace, .. } = plain;
    let Source::Peer(outlet) = stream else { return call.ret_nil_err("not supported for downstream sockets") };
    let trust = socket.trust.take();
    let session = reused.map_or_else(Arc::default, |held| held.session.clone());
    let tls = match client.begin(outlet, Ask { session, name: name.clone(), credentials }) {
        Ok(tls) => tls,
        Err((words, line)) => {
            if let Some(line) = line {
                super::super::ngx_table::warn(request(call)?, Level::Error, line.as_bytes());
            }
            return call.ret_nil_err(words);
        }
    };
    let connecting = Connecting::new(&socket, Stage::Connecting, request(call)?);
    let job = async move {
        let done = within(ms, tls.handshake()).await;
        connecting.over();
        let came_about = matches!(done, Some(Ok(()))).then(|| (tls.description(), tls.is_resumed()));
        let result = match done {
            None => Err(Refusal { words: "timeout".into(), line: None }),
            Some(Err(broken)) => Err(Refusal::broken(&broken)),
            Some(Ok(())) if verify => judge(&client, &tls, trust.as_deref(), name.as_deref(), log_errors),
            Some(Ok(())) => Ok(()),
        };
        (tls, came_about, result)
    };
    Outcome::park(What::Connect, job, move |call, (tls, came_about, result)| {
        if let Some((description, resumed)) = came_about {
            description.into_iter().for_each(|text| debug(call, |_| text));
            if resumed {
                debug(call, |_| "SSL reused session".into());
            }
        }
        match result {
            Ok(()) => {
                let reply = given(call, &tls, wants_session);
                // (what was read ahead before the handshake is gone: it was not protected)
                let secure = Connected::new(Source::Secure(Box::new(tls)), pool);
                *socket.connected.borrow_mut() =
                    Some(Rc::new(Connected { seat, reused: times, nodelay_told, trace, ..secure }));
                reply
            }
            Err(Refusal { words, line }) => {
                if let Some((level, line)) = line {
                    super::super::ngx_table::warn(request(call)?, level, line.as_bytes());
                }
                call.ret_nil_err(words)
            }
        }
    })
}

/// The result of a handshake: the session, or only that it was done.
fn given<'gc>(call: &mut Call<'_, 'gc>, tls: &Tls, wants_session: bool) -> Reply<'gc> {
    if !wants_session {
        return call.ret(Value::TRUE);
    }
    debug(call, |_| format!("lua ssl save session: {}", shown(tls.session())));
    let session = hold(call, tls.session())?;
    call.ret(session)
}

/// Why a handshake failed: what Lua is told, and what the log says.
struct Refusal {
    words: String,
    line: Option<(Level, String)>,
}

impl Refusal {
    /// (nginx logs these whatever lua_socket_log_errors says.)
    fn broken(broken: &Broken) -> Refusal {
        let line = match broken {
            Broken::Fault(fault) => (fault.level, fault.line("SSL_do_handshake")),
            Broken::Gone(None) => (Level::Error, "peer closed connection in SSL handshake".into()),
            Broken::Gone(Some(e)) => {
                let (number, words) = (e.raw_os_error().unwrap_or(0), stdlib::io_error(e));
                (Level::Error, format!("peer closed connection in SSL handshake ({number}: {words})"))
            }
        };
        Refusal { words: "handshake failed".into(), line: Some(line) }
    }
}

fn judge(
    client: &Client,
    tls: &Tls,
    trust: Option<&Trust>,
    name: Option<&str>,
    log_errors: bool,
) -> Result<(), Refusal> {
    let refuse = |words: String, line: String| Refusal { words, line: log_errors.then_some((Level::Error, line)) };
    client.verify(tls, trust).map_err(|refused| {
        let words = format!("{}: {}", refused.0, refused.words());
        let line = format!("lua ssl certificate verify error: ({words})");
        refuse(words, line)
    })?;
    match name {
        Some(name) if !name.is_empty() && !Client::is_for(tls, name) => {
            let line = format!("lua ssl certificate does not match host \"{name}\"");
            Err(refuse("certificate host mismatch".into(), line))
        }
        _ => Ok(()),
    }
}

pub fn setclientcert<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (certificate, key) = (call.arg(1), call.arg(2));
    if certificate.truthy() != key.truthy() {
        return call.ret_nil_err("client certificate must be supplied with corresponding private key");
    }
    if certificate.truthy() {
        for (v, name, right) in
            [(certificate, "cert", object::<Chain>(certificate).is_some()), (key, "pkey", object::<Key>(key).is_some())]
        {
            if !right {
                return call.ret_nil_err(format!("bad {name} arg: cdata expected, got {}", v.type_name()));
            }
        }
    }
    let table = call.table(0)?;
    let kept = |v: Value<'gc>| if v.truthy() { v } else { Value::NIL };
    table.set_int(call.cx.mc, CERTIFICATE, kept(certificate));
    table.set_int(call.cx.mc, KEY, kept(key));
    call.ret(Value::TRUE)
}

/// A store is what `ngx.ssl.parse_pem_cert` makes of some certificates. (OpenResty takes an OpenSSL object.)
pub fn settrustedstore<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let store = call.arg(1);
    let chain = object::<Chain>(store);
    if !store.is_nil() && chain.is_none() {
        return call.ret_nil_err(format!("bad store arg: cdata expected, got {}", store.type_name()));
    }
    let socket = known(call)?;
    if let Some(words) = unusable(call, &socket)? {
        return call.ret_nil_err(words);
    }
    if socket.current().is_some_and(|connected| matches!(connected.stream, Source::Secure(_))) {
        let words = "ssl handshake already done; trusted store cannot be changed on an established TLS connection";
        return call.ret_nil_err(words);
    }
    let trust = match chain.map(|chain| Trust::new(chain.0.clone())) {
        Some(None) => return call.ret_nil_err("bad store arg: not all of it can be trusted"),
        trust => trust.flatten().map(Rc::new),
    };
    socket.trust.replace(trust);
    call.ret(Value::TRUE)
}

pub fn getsslsession<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let socket = known(call)?;
    let ended = |connected: &Rc<Connected>| connected.read_closed.get() && connected.write_closed.get();
    let Some(connected) = socket.current().filter(|connected| !ended(connected)) else {
        return call.ret_nil_err("closed");
    };
    let Source::Secure(tls) = &connected.stream else { return call.ret_nil_err("no session") };
    if !tls.session().is_resumable() {
        return call.ret_nil_err("not resumable");
    }
    let session = hold(call, tls.session())?;
    call.ret(session)
}

pub fn getfd<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let socket = known(call)?;
    match socket.current().map(|connected| connected.stream.fd()) {
        Some(fd @ 0..) => call.ret(Value::num(f64::from(fd))),
        _ => call.ret_nil_err("closed"),
    }
}
