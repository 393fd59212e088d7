//! cjson and cjson.safe (lua-cjson 2.1 as OpenResty ships it): JSON text to Lua values and back.
//!
//! Nothing recurses: decoding and encoding keep their own stacks, limited as lua-cjson limits them. The options of
//! `encode_sparse_array` and its kin belong to a module table: they live in its userdata.
use std::cell::Cell;
use std::rc::Rc;

use vm::value::table::TableRef;
use vm::value::{Kind, number};
use vm::{Call, Cx, Outcome, Reply, Row, Table, Value, row};

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
    match write(call)? {
        Ok(v) => call.ret(v),
        Err(message) => Err(call.error(message)),
    }
}

fn encode_safe<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    match write(call)? {
        Ok(v) => call.ret(v),
        Err(message) => call.ret_nil_err(message),
    }
}

fn decode<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    match read(call)? {
        Ok(v) => call.ret(v),
        Err(message) => Err(call.error(message)),
    }
}

fn decode_safe<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    match read(call)? {
        Ok(v) => call.ret(v),
        Err(message) => call.ret_nil_err(message),
    }
}

/// A table that is being written: the key it has come to (nil: none yet), or the next index and the last one.
enum Open<'gc> {
    Object(Table<'gc>, Value<'gc>),
    Array(Table<'gc>, usize, usize),
}

/// The outer error is the machine's (memory), the inner one cjson's own.
fn write<'gc>(call: &mut Call<'_, 'gc>) -> Result<Result<Value<'gc>, String>, Value<'gc>> {
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

/// A container that is being read: an array with its length so far, or an object with the key whose value comes.
enum Filling<'gc> {
    Array(Table<'gc>, usize),
    Object(Table<'gc>, Value<'gc>),
}

struct Reader<'s> {
    text: &'s [u8],
    at: usize,
    invalid_numbers: bool,
}

fn read<'gc>(call: &mut Call<'_, 'gc>) -> Result<Result<Value<'gc>, String>, Value<'gc>> {
    let options = options(call)?;
    if call.len() != 1 {
        return Err(call.arg_error(0, "expected 1 argument"));
    }
    let text = call.bytes(0)?;
    call.charge(text.len() / 8);
    call.reserve(text.len())?;
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Ok(Err("JSON parser does not support UTF-16 or UTF-32".into()));
    }
    let mut reader = Reader { text, at: 0, invalid_numbers: options.invalid_in.get() };
    Ok(reader.value(call.cx, &options))
}

impl Reader<'_> {
    fn fail<T>(&self, expected: &str, at: usize) -> Result<T, String> {
        let mut token = Reader { text: self.text, at, invalid_numbers: self.invalid_numbers };
        Err(format!("Expected {expected} but found {} at character {}", token.name(), at + 1))
    }

    /// What cjson calls the token here.
    fn name(&mut self) -> &'static str {
        match self.text.get(self.at) {
            None => "T_END",
            Some(b'{') => "T_OBJ_BEGIN",
            Some(b'}') => "T_OBJ_END",
            Some(b'[') => "T_ARR_BEGIN",
            Some(b']') => "T_ARR_END",
            Some(b',') => "T_COMMA",
            Some(b':') => "T_COLON",
            Some(b'"') => "T_STRING",
            Some(b'-' | b'0'..=b'9') => "T_NUMBER",
            _ if self.word(b"true") || self.word(b"false") => "T_BOOLEAN",
            _ if self.word(b"null") => "T_NULL",
            Some(_) => "invalid token",
        }
    }
    fn word(&self, word: &[u8]) -> bool {
        self.text[self.at.min(self.text.len())..].starts_with(word)
    }
    fn skip(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn value<'gc>(&mut self, cx: Cx<'gc>, options: &Options) -> Result<Value<'gc>, String> {
        let mut open: Vec<Filling<'gc>> = Vec::new();
        let marked = options.array_mt.get().then(|| cx.registry().field(b"cjson array").as_table()).flatten();
        loop {
            let mut done = match self.skip() {
                Some(c @ (b'{' | b'[')) => {
                    if open.len() >= options.decode_depth.get() {
                        return Err(format!(
                            "Found too many nested data structures ({}) at character {}",
                            open.len() + 1,
                            self.at + 1
                        ));
                    }
                    self.at += 1;
                    let t = cx.table(0, 0);
                    if c == b'[' {
                        t.set_metatable(cx.mc, marked);
                        if self.skip() == Some(b']') {
                            self.at += 1;
                            Some(Value::table(t))
                        } else {
                            open.push(Filling::Array(t, 0));
                            None
                        }
                    } else if self.skip() == Some(b'}') {
                        self.at += 1;
                        Some(Value::table(t))
                    } else {
                        let key = self.key(cx)?;
                        open.push(Filling::Object(t, key));
                        None
                    }
                }
                Some(b'"') => Some(Value::str(self.string(cx)?)),
                _ => Some(self.scalar()?),
            };
            // A finished value goes into the container around it, which may be finished by it.
            while let Some(v) = done.take() {
                match open.last_mut() {
                    None => {
                        if self.skip().is_some() {
                            return self.fail("the end", self.at);
                        }
                        return Ok(v);
                    }
                    Some(Filling::Array(t, n)) => {
                        *n += 1;
                        t.set_int(cx.mc, *n, v);
                        match self.skip() {
                            Some(b',') => self.at += 1,
                            Some(b']') => {
                                self.at += 1;
                                done = Some(Value::table(*t));
                                open.pop();
                            }
                            _ => return self.fail("comma or array end", self.at),
                        }
                    }
                    Some(Filling::Object(t, key)) => {
                        // (a string key is never refused)
                        let _ = t.set(cx.mc, *key, v);
                        match self.skip() {
                            Some(b',') => {
                                self.at += 1;
                                self.skip();
                                let next = self.key(cx)?;
                                if let Some(Filling::Object(_, key)) = open.last_mut() {
                                    *key = next;
                                }
                            }
                            Some(b'}') => {
                                self.at += 1;
                                done = Some(Value::table(*t));
                                open.pop();
                            }
                            _ => return self.fail("comma or object end", self.at),
                        }
                    }
                }
            }
        }
    }

    /// `"key":`
    fn key<'gc>(&mut self, cx: Cx<'gc>) -> Result<Value<'gc>, String> {
        if self.skip() != Some(b'"') {
            return self.fail("object key string", self.at);
        }
        let key = self.string(cx)?;
        if self.skip() != Some(b':') {
            return self.fail("colon", self.at);
        }
        self.at += 1;
        Ok(Value::str(cx.intern(key.bytes())))
    }

    fn string<'gc>(&mut self, cx: Cx<'gc>) -> Result<vm::Str<'gc>, String> {
        self.at += 1;
        let from = self.at;
        // Most strings have no escapes.
        match memchr::memchr2(b'"', b'\\', &self.text[from..]) {
            Some(n) if self.text[from + n] == b'"' => {
                let bytes = &self.text[from..from + n];
                if let Some(bad) = bytes.iter().position(|c| *c < 0x20) {
                    return Err(format!("Expected value but found invalid token at character {}", from + bad + 1));
                }
                self.at = from + n + 1;
                return Ok(cx.string(bytes));
            }
            _ => {}
        }
        let mut out = Vec::new();
        loop {
            let Some(&c) = self.text.get(self.at) else {
                return Err(format!("Expected value but found unexpected end of string at character {}", self.at + 1));
            };
            self.at += 1;
            match c {
                b'"' => return Ok(cx.string(&out)),
                b'\\' => self.escape(&mut out)?,
                0..=0x1f => {
                    return Err(format!("Expected value but found invalid token at character {}", self.at));
                }
                _ => out.push(c),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let Some(&c) = self.text.get(self.at) else {
            return Err(format!("Expected value but found unexpected end of string at character {}", self.at + 1));
        };
        self.at += 1;
        out.push(match c {
            b'"' | b'\\' | b'/' => c,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut code = self.hex()?;
                if (0xD800..0xDC00).contains(&code) && self.word(b"\\u") {
                    self.at += 2;
                    let low = self.hex()?;
                    if !(0xDC00..0xE000).contains(&low) {
                        return self.bad_escape();
                    }
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                }
                let Some(c) = char::from_u32(code) else { return self.bad_escape() };
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return self.bad_escape(),
        });
        Ok(())
    }
    fn bad_escape<T>(&self) -> Result<T, String> {
        Err(format!("Expected value but found invalid escape code at character {}", self.at.saturating_sub(1)))
    }
    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.text.get(self.at..self.at + 4).and_then(|d| std::str::from_utf8(d).ok());
        let code =
            digits.filter(|d| d.bytes().all(|c| c.is_ascii_hexdigit())).and_then(|d| u32::from_str_radix(d, 16).ok());
        match code {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => Err(format!("Expected value but found invalid unicode escape code at character {}", self.at - 1)),
        }
    }

    fn scalar<'gc>(&mut self) -> Result<Value<'gc>, String> {
        for (word, v) in [(b"true".as_slice(), Value::TRUE), (b"false", Value::FALSE), (b"null", Value::light(NULL))] {
            if self.word(word) {
                self.at += word.len();
                return Ok(v);
            }
        }
        let rest = &self.text[self.at..];
        let length = rest.iter().take_while(|c| matches!(c, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')).count();
        let digits = &rest[..length];
        let strict = match digits.strip_prefix(b"-").unwrap_or(digits) {
            [b'0', b'0'..=b'9', ..] => false,
            [b'0'..=b'9', ..] => true,
            _ => false,
        };
        let parsed = std::str::from_utf8(digits).ok().and_then(|t| t.parse::<f64>().ok());
        if let (true, Some(n)) = (strict || self.invalid_numbers && length > 0, parsed) {
            self.at += length;
            return Ok(Value::num(n));
        }
        if self.invalid_numbers {
            for (word, n) in [
                (b"NaN".as_slice(), f64::NAN),
                (b"nan", f64::NAN),
                (b"Infinity", f64::INFINITY),
                (b"inf", f64::INFINITY),
                (b"-Infinity", f64::NEG_INFINITY),
                (b"-inf", f64::NEG_INFINITY),
            ] {
                if self.word(word) {
                    self.at += word.len();
                    return Ok(Value::num(n));
                }
            }
        }
        self.fail("value", self.at)
    }
}
