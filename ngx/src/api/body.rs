//! ngx.req.read_body and what follows it: the request body.
//!
//! A body is in memory or in a file, as the server put it; Lua may replace it by either. A body that is made piece by piece
//! (`init_body`, `append_body`, `finish_body`) goes to a file if it outgrows its buffer.
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bytes::Bytes;
use vm::{Call, Cx, Outcome, Reply, Row, Value, What};

use super::encoding::{MAX_ARGS, give_args};
use super::ngx_table::warn;
use super::{CLIENT, request, row_in, worker};
use crate::encoding;
use crate::log::Level;
use crate::phase::{REQUEST, WITH_REQUEST};
use crate::request::{Body, BodyError, Finish, Request, TempFile};

static NATIVES: &[Row] = &[
    row_in("read_body", read_body, REQUEST, "ngx.req.read_body(): waits for the request body"),
    row_in(
        "discard_body",
        discard_body,
        REQUEST | CLIENT,
        "ngx.req.discard_body(): reads the request body and drops it",
    ),
    row_in("get_body_data", get_body_data, WITH_REQUEST | CLIENT, "ngx.req.get_body_data([max]) -> string, or nil"),
    row_in("get_body_file", get_body_file, WITH_REQUEST | CLIENT, "ngx.req.get_body_file() -> path, or nil"),
    row_in(
        "get_post_args",
        get_post_args,
        WITH_REQUEST | CLIENT,
        "ngx.req.get_post_args([max]) -> table, or nil and a message",
    ),
    row_in("set_body_data", set_body_data, REQUEST | CLIENT, "ngx.req.set_body_data(string)"),
    row_in("set_body_file", set_body_file, REQUEST | CLIENT, "ngx.req.set_body_file(path [, remove])"),
    row_in("init_body", init_body, REQUEST | CLIENT, "ngx.req.init_body([buffer size]): begins a new body"),
    row_in("append_body", append_body, REQUEST | CLIENT, "ngx.req.append_body(string)"),
    row_in("finish_body", finish_body, REQUEST | CLIENT, "ngx.req.finish_body(): ends the body that init_body began"),
];

pub fn open(cx: Cx<'_>) {
    cx.library("ngx.req", NATIVES);
}

fn no_arguments<'gc>(call: &Call<'_, 'gc>) -> Result<(), Value<'gc>> {
    if call.is_empty() {
        return Ok(());
    }
    Err(call.error(format!("expecting 0 arguments but seen {}", call.len())))
}

fn read_body<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    no_arguments(call)?;
    fetch(call, false)
}

fn discard_body<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    no_arguments(call)?;
    fetch(call, true)
}

/// Waits for the body, once. A body that the server refuses (too large, say) ends the request with its status.
fn fetch<'gc>(call: &mut Call<'_, 'gc>, discard: bool) -> Reply<'gc> {
    let request_ref = request(call)?;
    if !matches!(request_ref.body, Body::Unread) {
        return Ok(Outcome::Return);
    }
    let exchange = request_ref.exchange.clone();
    let reading = Rc::new(());
    request_ref.lua.reading_body = Rc::downgrade(&reading);
    let job = async move {
        let _reading = reading;
        exchange.read_body(discard).await
    };
    Outcome::park(What::Body, job, move |call, result| {
        let request = request(call)?;
        match result {
            // (another light thread may have been faster)
            Ok(body) if matches!(request.body, Body::Unread) => {
                request.body = if discard { Body::Discarded } else { body };
                Ok(Outcome::Return)
            }
            Ok(_) => Ok(Outcome::Return),
            Err(error) => {
                let BodyError::Status(status) = error;
                if let Some((level, words)) = error.words() {
                    warn(request, level, words.as_bytes());
                }
                request.finish.get_or_insert(Finish::Exit(i32::from(status)));
                Ok(Outcome::Exit)
            }
        }
    })
}

fn get_body_data<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let max = call.opt_integer(0, 0)?;
    if max < 0 {
        return Err(call.error(format!("bad max_bytes argument: {max}")));
    }
    let Body::Memory(bytes) = request(call)?.body.clone() else { return call.ret(Value::NIL) };
    let shown = if max == 0 { bytes.len() } else { bytes.len().min(max as usize) };
    if shown == 0 {
        return call.ret(Value::NIL);
    }
    call.reserve(shown)?;
    let v = call.cx.str(&bytes[..shown]);
    call.ret(v)
}

fn get_body_file<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    no_arguments(call)?;
    let Body::File(file) = request(call)?.body.clone() else { return call.ret(Value::NIL) };
    let v = call.cx.str(file.path.as_os_str().as_encoded_bytes());
    call.ret(v)
}

fn get_post_args<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() > 1 {
        return Err(call.error(format!("expecting 0 or 1 arguments but seen {}", call.len())));
    }
    let max = if call.len() == 1 { call.integer(0)? } else { MAX_ARGS };
    let max = usize::try_from(max).unwrap_or(0);
    let args = match &request(call)?.body {
        Body::Unread => {
            return Err(call.error("no request body found; maybe you should turn on lua_need_request_body?"));
        }
        Body::File(_) => return call.ret_nil_err("request body in temp file not supported"),
        Body::Discarded => encoding::Args::default(),
        Body::Memory(text) => encoding::decode_args(text, max),
    };
    let t = call.cx.table(0, args.pairs.len());
    give_args(call, t, args, max)
}

/// A body can be replaced once it was read.
fn replaceable<'gc>(call: &mut Call<'_, 'gc>) -> Result<(), Value<'gc>> {
    match request(call)?.body {
        Body::Discarded => Err(call.error("request body already discarded asynchronously")),
        Body::Unread => Err(call.error("request body not read yet")),
        _ => Ok(()),
    }
}

fn put(request: &mut Request, body: Body, length: u64) {
    request.body = body;
    request.headers.set("Content-Length", length.to_string());
}

fn set_body_data<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 1 {
        return Err(call.error(format!("expecting 1 arguments but seen {}", call.len())));
    }
    let bytes = call.bytes(0)?;
    replaceable(call)?;
    call.charge(bytes.len() / 32);
    put(request(call)?, Body::Memory(Bytes::copy_from_slice(bytes)), bytes.len() as u64);
    Ok(Outcome::Return)
}

fn set_body_file<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !matches!(call.len(), 1 | 2) {
        return Err(call.error(format!("expecting 1 or 2 arguments but seen {}", call.len())));
    }
    let name = call.bytes(0)?;
    replaceable(call)?;
    let remove = match call.arg(1) {
        v if call.len() < 2 || v.identical(Value::FALSE) => false,
        v if v.identical(Value::TRUE) => true,
        _ => return Err(call.type_error(1, "boolean")),
    };
    use std::os::unix::ffi::OsStrExt;
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(name));
    match std::fs::metadata(&path) {
        Ok(found) if found.is_file() => {
            put(request(call)?, Body::File(Rc::new(TempFile { path, keep: !remove })), found.len());
            Ok(Outcome::Return)
        }
        _ => Err(call.error(format!("stat() \"{}\" failed", path.display()))),
    }
}

fn init_body<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() > 1 {
        return Err(call.error(format!("expecting 0 or 1 argument but seen {}", call.len())));
    }
    replaceable(call)?;
    let size = call.opt_integer(0, 0)?;
    if size < 0 {
        return Err(call.error(format!("bad size argument: {size}")));
    }
    let given = call.len() == 1;
    let request = request(call)?;
    let default = request.exchange.lua_conf().client_body_buffer_size;
    let seldom = request.lua.seldom();
    seldom.new_body = Some(Vec::new());
    seldom.new_body_buffer = if given { usize::try_from(size).unwrap_or(0) } else { default };
    put(request, Body::Memory(Bytes::new()), 0);
    Ok(Outcome::Return)
}

fn append_body<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 1 {
        return Err(call.error(format!("expecting 1 arguments but seen {}", call.len())));
    }
    let bytes = call.bytes(0)?;
    call.reserve(bytes.len())?;
    let Some(body) = &mut request(call)?.lua.seldom().new_body else {
        return Err(call.error("request_body not initialized"));
    };
    body.extend_from_slice(bytes);
    Ok(Outcome::Return)
}

fn finish_body<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !call.is_empty() {
        return Err(call.error(format!("expecting 0 argument but seen {}", call.len())));
    }
    let owner = worker(call)?;
    let request_ref = request(call)?;
    let Some(body) = request_ref.lua.seldom().new_body.take() else {
        return Err(call.error("request_body not initialized"));
    };
    let length = body.len() as u64;
    let buffer = request_ref.lua.seldom().new_body_buffer;
    let body = if body.len() > buffer {
        match spill(&owner.setup.prefix, &body) {
            Ok(file) => {
                let words = format!("a client request body is buffered to a temporary file {}", file.path.display());
                warn(request_ref, Level::Warn, words.as_bytes());
                Body::File(Rc::new(file))
            }
            Err(_) => return Err(call.error("fail to write file")),
        }
    } else {
        Body::Memory(body.into())
    };
    put(request(call)?, body, length);
    Ok(Outcome::Return)
}

/// Writes a body to a temporary file: where the server keeps its own, or else where the system does.
fn spill(prefix: &std::path::Path, body: &[u8]) -> std::io::Result<TempFile> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let own = prefix.join("client_body_temp");
    let folder = if own.is_dir() { own } else { std::env::temp_dir() };
    let name = format!("lua-{}-{:010}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path: PathBuf = folder.join(name);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    let made = TempFile { path, keep: false };
    file.write_all(body)?;
    Ok(made)
}
