//! Lua values to JSON text.

use vm::value::table::TableRef;
use vm::value::{Kind, number};
use vm::{Call, Table, Value};

use super::{EMPTY_ARRAY, Invalid, NULL, Options, options};

/// A table that is being written: the key it has come to (nil: none yet), or the next index and the last one.
enum Open<'gc> {
    Object(Table<'gc>, Value<'gc>),
    Array(Table<'gc>, usize, usize),
}

/// The outer error is the machine's (memory), the inner one cjson's own.
pub(super) fn text<'gc>(call: &mut Call<'_, 'gc>) -> Result<Result<Value<'gc>, String>, Value<'gc>> {
    let options = options(call)?;
    if call.len() != 1 {
        return Err(call.arg_error(0, "expected 1 argument"));
    }
    let mut out = Vec::with_capacity(256);
    let mut open: Vec<Open<'gc>> = Vec::with_capacity(8);
    let mut v = call.arg(0);
    loop {
        match v.kind() {
            Kind::Table(t) => {
                if open.len() >= options.encode_depth.get() {
                    return Ok(Err(format!("Cannot serialise, excessive depth ({})", open.len() + 1)));
                }
                match shape(call, t, &options) {
                    Err(message) => return Ok(Err(message)),
                    Ok(Some(n)) => {
                        out.push(b'[');
                        open.push(Open::Array(t, 0, n));
                    }
                    Ok(None) => {
                        out.push(b'{');
                        open.push(Open::Object(t, Value::NIL));
                    }
                }
            }
            _ => {
                if let Err(message) = write_scalar(v, &options, &mut out) {
                    return Ok(Err(message));
                }
            }
        }
        // The next value is in the innermost open table; those that are finished are closed.
        loop {
            match open.last_mut() {
                None => {
                    call.reserve(out.len())?;
                    return Ok(Ok(call.cx.str_vec(out)));
                }
                Some(Open::Array(t, at, n)) => {
                    if *at == *n {
                        out.push(b']');
                        open.pop();
                        continue;
                    }
                    if *at > 0 {
                        out.push(b',');
                    }
                    *at += 1;
                    v = t.get_int(*at);
                    break;
                }
                Some(Open::Object(t, key)) => {
                    let first = key.is_nil();
                    let Ok(Some((k, item))) = t.next(*key) else {
                        out.push(b'}');
                        open.pop();
                        continue;
                    };
                    if !first {
                        out.push(b',');
                    }
                    match k.kind() {
                        Kind::Str(s) => write_string(s.bytes(), options.escape_slash.get(), &mut out),
                        Kind::Num(n) => {
                            out.push(b'"');
                            if let Err(message) = write_number(n, &options, &mut out) {
                                return Ok(Err(message));
                            }
                            out.push(b'"');
                        }
                        _ => {
                            return Ok(Err(format!(
                                "Cannot serialise {}: table key must be a number or string",
                                k.type_name()
                            )));
                        }
                    }
                    out.push(b':');
                    *key = k;
                    v = item;
                    break;
                }
            }
        }
        call.charge(4);
        if out.len() & 0xffff < 64 {
            call.cx.check_memory(out.len())?;
        }
    }
}

/// Some(length): an array.
fn shape<'gc>(call: &Call<'_, 'gc>, t: Table<'gc>, options: &Options) -> Result<Option<usize>, String> {
    let marked = |name: &[u8]| {
        let mark = call.cx.registry().field(name);
        t.metatable().is_some_and(|m| Value::table(m).identical(mark))
    };
    if marked(b"cjson array") {
        return Ok(Some(t.length()));
    }
    let (mut max, mut items) = (0.0, 0i64);
    let mut key = Value::NIL;
    while let Ok(Some((k, _))) = t.next(key) {
        match k.as_num() {
            Some(n) if n >= 1.0 && n.trunc() == n => max = f64::max(max, n),
            _ => return Ok(None),
        }
        items += 1;
        key = k;
    }
    if items == 0 {
        let array = !options.empty_object.get() || marked(b"cjson empty array");
        return Ok(array.then_some(0));
    }
    let (ratio, safe) = (options.sparse_ratio.get(), options.sparse_safe.get());
    if ratio > 0 && max > (items * ratio) as f64 && max > safe as f64 {
        if !options.sparse_convert.get() {
            return Err("Cannot serialise table: excessively sparse array".into());
        }
        return Ok(None);
    }
    Ok(Some(max as usize))
}

fn write_scalar(v: Value<'_>, options: &Options, out: &mut Vec<u8>) -> Result<(), String> {
    match v.kind() {
        Kind::Nil => out.extend_from_slice(b"null"),
        Kind::Light(NULL) => out.extend_from_slice(b"null"),
        Kind::Light(EMPTY_ARRAY) => out.extend_from_slice(b"[]"),
        Kind::Bool(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
        Kind::Str(s) => write_string(s.bytes(), options.escape_slash.get(), out),
        Kind::Num(n) => write_number(n, options, out)?,
        _ => return Err(format!("Cannot serialise {}: type not supported", v.type_name())),
    }
    Ok(())
}

fn write_number(n: f64, options: &Options, out: &mut Vec<u8>) -> Result<(), String> {
    if n.is_finite() {
        if options.precision.get() == 14 || n.trunc() == n && n.abs() < 1e9 {
            number::write_number(n, out);
        } else {
            number::write_general(n, options.precision.get(), out);
        }
        return Ok(());
    }
    match options.invalid_out.get() {
        Invalid::Refuse => Err("Cannot serialise number: must not be NaN or Infinity".into()),
        Invalid::Null => {
            out.extend_from_slice(b"null");
            Ok(())
        }
        Invalid::Write => {
            out.extend_from_slice(if n.is_nan() {
                b"NaN"
            } else if n > 0.0 {
                b"Infinity"
            } else {
                b"-Infinity"
            });
            Ok(())
        }
    }
}

fn write_string(bytes: &[u8], escape_slash: bool, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut from = 0;
    for (i, c) in bytes.iter().enumerate() {
        let escape: &[u8] = match c {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'/' if escape_slash => b"\\/",
            0x08 => b"\\b",
            0x0c => b"\\f",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f | 0x7f => {
                out.extend_from_slice(&bytes[from..i]);
                out.extend_from_slice(format!("\\u{c:04x}").as_bytes());
                from = i + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[from..i]);
        out.extend_from_slice(escape);
        from = i + 1;
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}
