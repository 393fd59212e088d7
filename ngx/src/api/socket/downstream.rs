//! ngx.req.socket: the request body, or the client's connection as a whole, in Lua's hands.
use std::rc::Rc;

use crate::bytes::Bytes;
use vm::{Call, Outcome, Reply, What};

use super::{BODY, RAW, adopt, new_socket};
use crate::api::request;
use crate::cosocket::{Connected, Socket, Source, Trace};
use crate::request::Body;

pub fn socket<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() > 1 {
        return Err(call.error(format!("expecting zero arguments, but got {}", call.len())));
    }
    let raw = call.arg(0).truthy();
    if request(call)?.is_subrequest {
        return Err(call.error("attempt to read the request body in a subrequest"));
    }
    if raw { raw_socket(call) } else { lend(call, false) }
}

fn raw_socket<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let req = request(call)?;
    if req.lua.is_reading_body() {
        return call.ret_nil_err("pending request body reading in some other thread");
    }
    let waiting = req.output.started && !req.response.sent || !req.output.pending.is_empty();
    let gathers = req.version <= 10
        && req.exchange.lua_conf().http10_buffering
        && !req.response.headers.contains(b"content-length");
    if waiting && gathers && !req.response.sent {
        return call.ret_nil_err("http 1.0 buffering");
    }
    if req.lua.has_raw_socket() {
        return call.ret_nil_err("duplicate call");
    }
    if !waiting {
        return lend(call, true);
    }
    // What was said before goes out first: the scheduler sends between slices.
    req.output.flush = true;
    Outcome::park(What::Flush, std::future::ready(()), |call, ()| lend(call, true))
}

fn lend<'gc>(call: &mut Call<'_, 'gc>, raw: bool) -> Reply<'gc> {
    let req = request(call)?;
    if !raw && req.lua.is_reading_body() {
        return call.ret_nil_err("request body already exists");
    }
    let lent = match &req.body {
        Body::Discarded if !raw => Err("request body discarded"),
        Body::Memory(_) | Body::File(_) if !raw => Err("request body already exists"),
        _ => req.exchange.lend(req, raw),
    };
    let lent = match lent {
        Ok(lent) => lent,
        Err(words) => return call.ret_nil_err(words),
    };
    // Whoever asks for the body later finds an empty one.
    if matches!(req.body, Body::Unread) {
        req.body = Body::Memory(Bytes::new());
    }
    if raw {
        req.lua.seldom().raw_socket = true;
        req.response.sent = true;
    }
    let mut connected = Connected::new(Source::Client(lent), Vec::new());
    connected.trace = Trace::new(req);
    let socket = Rc::new(Socket::default());
    *socket.connected.borrow_mut() = Some(Rc::new(connected));
    adopt(req, &socket);
    let table = new_socket(call, if raw { RAW } else { BODY }, socket);
    call.ret(table)
}
