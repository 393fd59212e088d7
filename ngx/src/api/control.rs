//! ngx.exit, exec, redirect, get_phase: where a request goes next.
use vm::value::Kind;
use vm::{Call, Outcome, Reply, Row, Value};

use super::{request, row_in};
use crate::encoding;
use crate::phase::{ALL, ANY, Phase, REQUEST};
use crate::request::Finish;

const EXIT: u32 = REQUEST | Phase::HeaderFilter.bit() | Phase::Timer.bit();

pub static NATIVES: &[Row] = &[
    row_in("exit", exit, EXIT, "ngx.exit(status): ends the phase or the request"),
    row_in("exec", exec, REQUEST, "ngx.exec(uri [, args]): redirects internally"),
    row_in("redirect", redirect, REQUEST, "ngx.redirect(uri [, status]): redirects the client"),
    row_in("get_phase", get_phase, ANY, "ngx.get_phase() -> the name of the running phase"),
];

fn exit<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let status = call.integer(0)? as i32;
    let request = request(call)?;
    if status >= 200 && (request.output.started || request.response.sent) && request.phase != Phase::HeaderFilter {
        // The head is out: the status cannot change any more.
        if status != i32::from(request.response.status) && request.response.status != 0
            || request.response.status == 0 && status != 200
        {
            let words = format!(
                "attempt to set status {status} via ngx.exit after sending out the response status {}",
                match request.response.status {
                    0 => 200,
                    s => s,
                }
            );
            let log = request.log.clone();
            log.write(crate::log::Level::Error, words.as_bytes(), Some(request));
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

fn exec<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let uri = call.bytes(0)?.to_vec();
    if uri.is_empty() {
        return Err(call.arg_error(0, "The uri argument is empty"));
    }
    let args = match call.arg(1).kind() {
        Kind::Nil => None,
        Kind::Table(t) => Some(encode_table(call, t)?),
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
    let request = request(call)?;
    if request.output.started || request.response.sent {
        return Err(call.error("attempt to call ngx.exec after sending out response headers"));
    }
    let (uri, args) = match uri.iter().position(|c| *c == b'?') {
        Some(at) if !uri.starts_with(b"@") => {
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

/// A Lua table of arguments as a query string.
pub(crate) fn encode_table<'gc>(call: &Call<'_, 'gc>, t: vm::Table<'gc>) -> Result<Vec<u8>, Value<'gc>> {
    use vm::value::table::TableRef;
    let mut pairs: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
    let mut key = Value::NIL;
    while let Ok(Some((k, v))) = t.next(key) {
        key = k;
        let mut name = Vec::new();
        if !vm::native::write_text(k, &mut name) {
            return Err(call.error(format!("attempt to use {} as query arg key", k.type_name())));
        }
        let mut add = |v: Value<'gc>| -> bool {
            let mut text = Vec::new();
            match v.kind() {
                Kind::Bool(true) => pairs.push((name.clone(), None)),
                Kind::Bool(false) => {}
                _ if vm::native::write_text(v, &mut text) => pairs.push((name.clone(), Some(text))),
                _ => return false,
            }
            true
        };
        let bad = match v.kind() {
            Kind::Table(list) => (1..=list.length()).map(|i| list.get_int(i)).find(|item| !add(*item)),
            _ if add(v) => None,
            _ => Some(v),
        };
        if let Some(bad) = bad {
            return Err(call.error(format!("attempt to use {} as query arg value", bad.type_name())));
        }
    }
    Ok(encoding::encode_args(pairs.iter().map(|(k, v)| (k.as_slice(), v.as_deref()))))
}

fn redirect<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let uri = call.bytes(0)?.to_vec();
    let status = call.opt_integer(1, 302)?;
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Err(call.error(
            "only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, ngx.HTTP_PERMANENT_REDIRECT, \
             ngx.HTTP_SEE_OTHER, and ngx.HTTP_TEMPORARY_REDIRECT are allowed",
        ));
    }
    let request = request(call)?;
    if request.output.started || request.response.sent {
        return Err(call.error("attempt to call ngx.redirect after sending out the headers"));
    }
    request.response.headers.set("Location", super::header::safe_value(&uri).into_owned());
    request.response.status = status as u16;
    request.finish.get_or_insert(Finish::Exit(status as i32));
    Ok(Outcome::Exit)
}

fn get_phase<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let bits = call.phase();
    let name = ALL.iter().find(|p| p.bit() == bits).map_or("content", |p| p.name());
    let name = call.cx.intern(name.as_bytes());
    call.ret(Value::str(name))
}
