//! ngx.exit, exec, redirect, get_phase: where a request goes next.
use vm::value::Kind;
use vm::{Call, Outcome, Reply, Row, Value};

use super::{request, row_in};
use crate::phase::{ALL, ANY, Phase, REQUEST};
use crate::request::Finish;
use crate::state::OnAbort;

const EXIT: u32 = REQUEST | Phase::HeaderFilter.bit() | Phase::Timer.bit();

pub static NATIVES: &[Row] = &[
    row_in("exit", exit, EXIT, "ngx.exit(status): ends the phase or the request"),
    row_in("exec", exec, REQUEST, "ngx.exec(uri [, args]): redirects internally"),
    row_in("redirect", redirect, REQUEST, "ngx.redirect(uri [, status]): redirects the client"),
    row_in(
        "on_abort",
        on_abort,
        REQUEST,
        "ngx.on_abort(f) -> 1, or nil and a message: calls f when the client goes away",
    ),
    // For the tests of what a bug of ours costs; not in release builds.
    #[cfg(debug_assertions)]
    row_in("_panic", |_| panic!("asked for by ngx._panic"), ANY, "ngx._panic(): a panic inside the VM"),
    row_in(
        "get_raw_phase",
        get_raw_phase,
        ANY,
        "ngx.get_raw_phase() -> the running phase as lua-resty-core numbers it",
    ),
    row_in("get_phase", get_phase, ANY, "ngx.get_phase() -> the name of the running phase"),
];

fn exit<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let status = call.integer(0)? as i32;
    if !matches!(status, -1 | 408 | 444 | 499) {
        check_abortable(call)?;
    }
    if matches!(status, -2 | -4) {
        return Err(call.error("bad argument to 'ngx.exit': does not accept NGX_AGAIN or NGX_DONE"));
    }
    let request = request(call)?;
    if status >= 300 && !matches!(status, 408 | 444 | 499) && super::ngx_table::sent(request) && !buffers(request) {
        // The head is out: the status cannot change any more.
        let shown = if request.response.status == 0 { 200 } else { request.response.status };
        if status != i32::from(shown) {
            let words =
                format!("attempt to set status {status} via ngx.exit after sending out the response status {shown}");
            super::ngx_table::warn(request, crate::log::Level::Error, words.as_bytes());
        }
    }
    if request.phase == Phase::HeaderFilter {
        request.finish.get_or_insert(Finish::Exit(status));
        return Ok(Outcome::Exit);
    }
    if status >= 200 && !request.output.started && !request.response.sent {
        request.response.status = status as u16;
    }
    request.finish.get_or_insert(Finish::Exit(status));
    Ok(Outcome::Exit)
}

/// Lua's output to an HTTP/1.0 client gathers until the response ends, its head with it.
pub(crate) fn buffers(request: &crate::request::Request) -> bool {
    request.version <= 10
        && !request.is_subrequest
        && !request.response.sent
        && !request.response.headers.contains(b"content-length")
        && request.exchange.lua_conf().http10_buffering
}

fn exec<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !matches!(call.len(), 1 | 2) {
        return Err(call.error(format!("expecting one or two arguments, but got {}", call.len())));
    }
    let uri = call.bytes(0)?.to_vec();
    if uri.is_empty() {
        return Err(call.error("The uri argument is empty"));
    }
    let args = match call.arg(1).kind() {
        Kind::Nil => None,
        Kind::Table(t) => Some(super::encoding::encode_table(call, t)?),
        _ => Some(
            call.bytes(1)
                .map_err(|_| {
                    call.arg_error(
                        1,
                        &format!("string, number, or table expected, but got {}", call.arg(1).type_name()),
                    )
                })?
                .to_vec(),
        ),
    };
    check_abortable(call)?;
    let request = request(call)?;
    if request.output.started || request.response.sent {
        return Err(call.error("attempt to call ngx.exec after sending out response headers"));
    }
    if !uri.starts_with(b"@") && super::location::parse_uri(&uri).is_none() {
        let shown = String::from_utf8_lossy(&uri).into_owned();
        let words = format!("unsafe URI \"{shown}\" was detected");
        super::ngx_table::warn(request, crate::log::Level::Error, words.as_bytes());
        return Err(call.error(format!("unsafe uri: {shown}")));
    }
    let (uri, args) = match uri.iter().position(|c| *c == b'?') {
        Some(at) => {
            let own = uri[at + 1..].to_vec();
            let args = match args {
                Some(more) if !more.is_empty() => [own, b"&".to_vec(), more].concat(),
                _ => own,
            };
            (uri[..at].to_vec(), Some(args))
        }
        _ => (uri, args),
    };
    request.finish.get_or_insert(Finish::Exec { uri, args });
    Ok(Outcome::Exit)
}

fn redirect<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !matches!(call.len(), 1 | 2) {
        return Err(call.error("expecting one or two arguments"));
    }
    let uri = call.bytes(0)?.to_vec();
    let status = call.opt_integer(1, 302)?;
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Err(call.error(
            "only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, ngx.HTTP_PERMANENT_REDIRECT, \
             ngx.HTTP_SEE_OTHER, and ngx.HTTP_TEMPORARY_REDIRECT are allowed",
        ));
    }
    check_abortable(call)?;
    super::req::check_bytes(call, &uri, "redirect uri", "")?;
    let request = request(call)?;
    if request.output.started || request.response.sent {
        return Err(call.error("attempt to call ngx.redirect after sending out the headers"));
    }
    request.response.headers.set("Location", super::header::safe_value(&uri).into_owned());
    request.response.status = status as u16;
    request.finish.get_or_insert(Finish::Exit(status as i32));
    Ok(Outcome::Exit)
}

/// Nothing may end the request while subrequests are under way.
pub(crate) fn check_abortable<'gc>(call: &mut Call<'_, 'gc>) -> Result<(), Value<'gc>> {
    if request(call)?.lua.awaits_subrequest(None) {
        return Err(call.error("attempt to abort with pending subrequests"));
    }
    Ok(())
}

fn on_abort<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let function = call.callable(0)?;
    let stashed = call.cx.stash(function);
    let request = request(call)?;
    if request.lua.if_seldom().is_some_and(|seldom| !matches!(seldom.on_abort, OnAbort::Nothing)) {
        return call.ret_nil_err("duplicate call");
    }
    if !request.exchange.lua_conf().check_client_abort {
        return call.ret_nil_err("lua_check_client_abort is off");
    }
    request.lua.seldom().on_abort = OnAbort::Registered(stashed);
    call.ret(Value::num(1.0))
}

fn get_phase<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let bits = call.phase();
    let name = ALL.iter().find(|p| p.bit() == bits).map_or("content", |p| p.name());
    let name = call.cx.intern(name.as_bytes());
    call.ret(Value::str(name))
}

/// lua-resty-core's numbers of the phases; 0 where it has none.
fn get_raw_phase<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let bits = call.phase();
    let number = ALL.iter().find(|p| p.bit() == bits).map_or(0, |phase| match phase {
        Phase::Set => 0x1,
        Phase::Rewrite => 0x2,
        Phase::Access => 0x4,
        Phase::Content => 0x8,
        Phase::Log => 0x10,
        Phase::HeaderFilter => 0x20,
        Phase::BodyFilter => 0x40,
        Phase::Timer => 0x80,
        Phase::InitWorker => 0x100,
        Phase::ExitWorker => 0x2000,
        Phase::ServerRewrite => 0x8000,
        Phase::Init | Phase::WorkerThread | Phase::Precontent => 0,
    });
    call.ret(Value::num(f64::from(number)))
}
