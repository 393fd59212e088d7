//! cjson and cjson.safe (lua-cjson 2.1 as OpenResty ships it): JSON text to Lua values and back.
//!
//! Nothing recurses: decoding and encoding keep their own stacks, limited as lua-cjson limits them. The options of
//! `encode_sparse_array` and its kin belong to a module table: they live in its userdata.
mod read;
mod write;

use std::cell::Cell;
use std::rc::Rc;

use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Value, row};

static NATIVES: &[Row] = &[
    row("encode", encode, "encode(v) -> JSON text"),
    row("decode", decode, "decode(text) -> value"),
    row("new", new, "new() -> a module table with options of its own"),
    row("encode_max_depth", encode_max_depth, "encode_max_depth([n]) -> n"),
    row("decode_max_depth", decode_max_depth, "decode_max_depth([n]) -> n"),
    row("encode_sparse_array", encode_sparse_array, "encode_sparse_array([convert [, ratio [, safe]]]) -> the three"),
    row("encode_number_precision", encode_number_precision, "encode_number_precision([digits]) -> digits"),
    row("encode_keep_buffer", keep_buffer, "encode_keep_buffer([bool]) -> bool: no difference here"),
    row("encode_invalid_numbers", encode_invalid_numbers, "encode_invalid_numbers([mode]) -> mode"),
    row("decode_invalid_numbers", decode_invalid_numbers, "decode_invalid_numbers([bool]) -> bool"),
    row("encode_empty_table_as_object", empty_as_object, "encode_empty_table_as_object([bool]) -> bool"),
    row("encode_escape_forward_slash", escape_slash, "encode_escape_forward_slash([bool]) -> bool"),
    row("decode_array_with_array_mt", array_mt, "decode_array_with_array_mt([bool]) -> bool"),
];

/// The same functions returning nil and the message instead of raising it.
static SAFE: &[Row] = &[
    row("encode", encode_safe, "encode(v) -> JSON text, or nil and a message"),
    row("decode", decode_safe, "decode(text) -> value, or nil and a message"),
    row("new", new_safe, "new() -> a safe module table with options of its own"),
];

struct Options {
    encode_depth: Cell<usize>,
    decode_depth: Cell<usize>,
    sparse_convert: Cell<bool>,
    sparse_ratio: Cell<i64>,
    sparse_safe: Cell<i64>,
    precision: Cell<usize>,
    keep_buffer: Cell<bool>,
    invalid_out: Cell<Invalid>,
    invalid_in: Cell<bool>,
    empty_object: Cell<bool>,
    escape_slash: Cell<bool>,
    array_mt: Cell<bool>,
}

/// What to write for NaN and infinity.
#[derive(Clone, Copy, PartialEq)]
enum Invalid {
    Refuse,
    Write,
    Null,
}

impl Options {
    fn new() -> Options {
        Options {
            encode_depth: Cell::new(1000),
            decode_depth: Cell::new(1000),
            sparse_convert: Cell::new(false),
            sparse_ratio: Cell::new(2),
            sparse_safe: Cell::new(10),
            precision: Cell::new(14),
            keep_buffer: Cell::new(true),
            invalid_out: Cell::new(Invalid::Refuse),
            invalid_in: Cell::new(true),
            empty_object: Cell::new(true),
            escape_slash: Cell::new(true),
            array_mt: Cell::new(false),
        }
    }
}

/// `cjson.null` is the same light userdata as `ngx.null`.
const NULL: u32 = 0;

/// Registers the modules `cjson` and `cjson.safe`.
pub fn open(cx: Cx<'_>) {
    for name in ["cjson empty array", "cjson array"] {
        cx.set_field(cx.registry(), name, Value::table(cx.table(0, 0)));
    }
    crate::package::preload(cx, "cjson", module(cx, false));
    crate::package::preload(cx, "cjson.safe", module(cx, true));
}

fn module<'gc>(cx: Cx<'gc>, safe: bool) -> Value<'gc> {
    let t = cx.table(0, 24);
    let options = Value::userdata(cx.userdata(Rc::new(Options::new()), None));
    let rows = NATIVES.iter().chain(if safe { SAFE } else { &[] });
    for row in rows {
        cx.set_field(t, row.name, cx.native(row, &[options]));
    }
    cx.set_field(t, "null", Value::light(NULL));
    cx.set_field(t, "_NAME", cx.str(b"cjson"));
    cx.set_field(t, "_VERSION", cx.str(b"2.1.0.11"));
    let registry = cx.registry();
    cx.set_field(t, "empty_array_mt", registry.field(b"cjson empty array"));
    cx.set_field(t, "array_mt", registry.field(b"cjson array"));
    cx.set_field(t, "empty_array", Value::light(EMPTY_ARRAY));
    Value::table(t)
}

/// `cjson.empty_array`: a light userdata of its own.
const EMPTY_ARRAY: u32 = 0x6a73;

fn options<'gc>(call: &Call<'_, 'gc>) -> Result<Rc<Options>, Value<'gc>> {
    call.upvalue(0)
        .as_userdata()
        .and_then(|u| u.downcast::<Options>())
        .ok_or_else(|| call.error("cjson has no options"))
}

fn new<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = module(call.cx, false);
    call.ret(t)
}

fn new_safe<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = module(call.cx, true);
    call.ret(t)
}

fn flag<'gc>(call: &mut Call<'_, 'gc>, which: fn(&Options) -> &Cell<bool>) -> Reply<'gc> {
    let options = options(call)?;
    match call.arg(0).kind() {
        Kind::Nil => {}
        Kind::Bool(b) => which(&options).set(b),
        Kind::Str(s) if s.bytes() == b"on" => which(&options).set(true),
        Kind::Str(s) if s.bytes() == b"off" => which(&options).set(false),
        _ => return Err(call.arg_error(0, "invalid option")),
    }
    let v = which(&options).get();
    call.ret(Value::bool(v))
}

fn count<'gc>(call: &mut Call<'_, 'gc>, which: fn(&Options) -> &Cell<usize>, max: i64) -> Reply<'gc> {
    let options = options(call)?;
    if !call.is_none_or_nil(0) {
        let n = call.integer(0)?;
        if !(1..=max).contains(&n) {
            return Err(call.arg_error(0, &format!("expected integer between 1 and {max}")));
        }
        which(&options).set(n as usize);
    }
    let n = which(&options).get();
    call.ret(Value::num(n as f64))
}

fn encode_max_depth<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    count(call, |o| &o.encode_depth, i64::from(i32::MAX))
}
fn decode_max_depth<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    count(call, |o| &o.decode_depth, i64::from(i32::MAX))
}
fn encode_number_precision<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    count(call, |o| &o.precision, 16)
}
fn keep_buffer<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    flag(call, |o| &o.keep_buffer)
}
fn decode_invalid_numbers<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    flag(call, |o| &o.invalid_in)
}
fn empty_as_object<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    flag(call, |o| &o.empty_object)
}
fn escape_slash<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    flag(call, |o| &o.escape_slash)
}
fn array_mt<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    flag(call, |o| &o.array_mt)
}

fn encode_invalid_numbers<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let options = options(call)?;
    match call.arg(0).kind() {
        Kind::Nil => {}
        Kind::Bool(b) => options.invalid_out.set(if b { Invalid::Write } else { Invalid::Refuse }),
        Kind::Str(s) if s.bytes() == b"null" => options.invalid_out.set(Invalid::Null),
        Kind::Str(s) if s.bytes() == b"on" => options.invalid_out.set(Invalid::Write),
        Kind::Str(s) if s.bytes() == b"off" => options.invalid_out.set(Invalid::Refuse),
        _ => return Err(call.arg_error(0, "invalid option")),
    }
    let v = match options.invalid_out.get() {
        Invalid::Refuse => Value::FALSE,
        Invalid::Write => Value::TRUE,
        Invalid::Null => call.cx.str(b"null"),
    };
    call.ret(v)
}

fn encode_sparse_array<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let options = options(call)?;
    if let Kind::Bool(b) = call.arg(0).kind() {
        options.sparse_convert.set(b);
    }
    options.sparse_ratio.set(call.opt_integer(1, options.sparse_ratio.get())?.max(0));
    options.sparse_safe.set(call.opt_integer(2, options.sparse_safe.get())?.max(0));
    call.push(Value::bool(options.sparse_convert.get()));
    call.push(Value::num(options.sparse_ratio.get() as f64));
    call.push(Value::num(options.sparse_safe.get() as f64));
    Ok(Outcome::Return)
}

fn encode<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    match write::text(call)? {
        Ok(v) => call.ret(v),
        Err(message) => Err(call.error(message)),
    }
}

fn encode_safe<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    match write::text(call)? {
        Ok(v) => call.ret(v),
        Err(message) => call.ret_nil_err(message),
    }
}

fn decode<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    match read::value(call)? {
        Ok(v) => call.ret(v),
        Err(message) => Err(call.error(message)),
    }
}

fn decode_safe<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    match read::value(call)? {
        Ok(v) => call.ret(v),
        Err(message) => call.ret_nil_err(message),
    }
}
