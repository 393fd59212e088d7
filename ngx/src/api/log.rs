//! ngx.log, print, and the log levels.
use vm::native::FrameInfo;
use vm::{Call, Cx, Outcome, Reply, Row, Value};

use super::output::write_scalar;
use super::{request, row_in};
use crate::log::Level;
use crate::phase::ANY;

pub static NATIVES: &[Row] = &[row_in("log", log, ANY, "ngx.log(level, ...): writes to the error log")];
static PRINT: Row = row_in("print", print, ANY, "print(...): as ngx.log(ngx.NOTICE, ...)");

/// Longer messages are cut, as nginx's lines are (NGX_MAX_ERROR_STR leaves room for the prefix).
const MAX: usize = 4096;

pub fn open(cx: Cx<'_>) {
    cx.library("ngx", NATIVES);
    cx.set_field(cx.globals(), "print", Value::row(&PRINT));
}

/// A line of the debug level, made only if somebody wants it.
pub(crate) fn debug<'gc>(call: &mut Call<'_, 'gc>, words: impl FnOnce(&crate::request::Request) -> String) {
    let Ok(request) = request(call) else { return };
    if request.log.enabled(Level::Debug) {
        let words = words(request);
        request.log.write(Level::Debug, words.as_bytes(), Some(request));
    }
}

/// The request's URI as debug lines show it: `/path?args`.
pub(crate) fn shown_uri(request: &crate::request::Request) -> String {
    let args = request.args.as_deref().unwrap_or_default();
    format!("{}?{}", String::from_utf8_lossy(&request.uri), String::from_utf8_lossy(args))
}

fn log<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let n = call.integer(0)?;
    let Some(level) = Level::from_number(n) else {
        return Err(call.arg_error(0, &format!("bad log level: {n}")));
    };
    write(call, level, 1)
}

fn print<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    write(call, Level::Notice, 0)
}

fn write<'gc>(call: &mut Call<'_, 'gc>, level: Level, from: usize) -> Reply<'gc> {
    if !request(call)?.log.enabled(level) {
        return Ok(Outcome::Return);
    }
    let mut text = b"[lua] ".to_vec();
    if let Some(frame) = call.level(1) {
        write_place(&frame, &mut text);
    }
    for i in from..call.len() {
        let v = call.arg(i);
        if v.as_table().is_some() {
            // A table with a __tostring is written by it.
            let f = call.metamethod(v, vm::Meta::ToString);
            if !f.is_nil() {
                return with_tostring(call, level, text, i);
            }
            return Err(call.arg_error(i - from, "expected table to have __tostring metamethod"));
        }
        if !write_scalar(v, &mut text) {
            return Err(
                call.arg_error(i - from, &format!("string, number, boolean, or nil expected, got {}", v.type_name()))
            );
        }
    }
    emit(call, level, text)
}

fn emit<'gc>(call: &mut Call<'_, 'gc>, level: Level, mut text: Vec<u8>) -> Reply<'gc> {
    text.truncate(MAX);
    call.charge(text.len() / 8);
    let request = request(call)?;
    let log = request.log.clone();
    log.write(level, &text, Some(request));
    Ok(Outcome::Return)
}

/// Goes on from an argument that has a `__tostring`.
fn with_tostring<'gc>(call: &mut Call<'_, 'gc>, level: Level, text: Vec<u8>, at: usize) -> Reply<'gc> {
    struct Go {
        level: Level,
        text: Vec<u8>,
        at: usize,
    }
    impl vm::Sequence for Go {
        fn step<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
            if let Some(s) = call.cx.to_str(call.result(0)) {
                self.text.extend_from_slice(s.bytes());
            }
            call.clear();
            self.at += 1;
            while self.at < call.len() {
                let v = call.arg(self.at);
                let f = call.metamethod(v, vm::Meta::ToString);
                if v.as_table().is_some() && !f.is_nil() {
                    call.push(f);
                    call.push(v);
                    return Ok(Outcome::Call(self));
                }
                if !write_scalar(v, &mut self.text) {
                    return Err(call.arg_error(self.at, "expected table to have __tostring metamethod"));
                }
                self.at += 1;
            }
            emit(call, self.level, self.text)
        }
    }
    call.push(call.metamethod(call.arg(at), vm::Meta::ToString));
    call.push(call.arg(at));
    Ok(Outcome::Call(Box::new(Go { level, text, at })))
}

/// `content_by_lua(nginx.conf:12):3: ` and the function's name, as the log shows where a line comes from.
fn write_place(frame: &FrameInfo<'_>, text: &mut Vec<u8>) {
    let Some(c) = frame.closure else { return };
    let id = vm::code::chunk_id(c.proto.info().source);
    // (only the last part of a path)
    let short = id.rsplit(|b| *b == b'/').next().unwrap_or(&id);
    text.extend_from_slice(short);
    text.extend_from_slice(format!(":{}: ", frame.line.max(0)).as_bytes());
    if let Some((_, name)) = &frame.name {
        text.extend_from_slice(name);
        text.extend_from_slice(b"(): ");
    }
}
