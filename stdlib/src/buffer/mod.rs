//! `string.buffer` (LuaJIT's extension): strings built and taken apart in place, and a serialization of Lua values.
//!
//! What hands out C pointers there (reserve, commit, ref, putcdata) needs the FFI and is refused with a clear error.
use std::cell::RefCell;

use vm::context::Meta;
use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Sequence, Table, Value, row};

mod serialize;

use serialize::{Dictionary, decode, encode};

static NATIVES: &[Row] = &[
    row("new", new, "new([size] [, options]) -> a buffer"),
    row("encode", encode_value, "encode(v) -> its serialization"),
    row("decode", decode_string, "decode(s) -> the value whose serialization s is"),
];

static METHODS: &[Row] = &[
    row("put", put, "buffer:put(...) -> buffer: appends strings, numbers, buffers, objects with __tostring"),
    row("putf", putf, "buffer:putf(format, ...) -> buffer: appends what string.format makes"),
    row("set", set, "buffer:set(s) -> buffer: holds just s"),
    row("get", get, "buffer:get([n, ...]) -> the first n bytes, taken out; nil or nothing: all"),
    row("skip", skip, "buffer:skip(n) -> buffer without its first n bytes"),
    row("reset", reset, "buffer:reset() -> buffer, empty; the room stays"),
    row("free", free, "buffer:free() -> buffer, empty; the room is given back"),
    row("tostring", tostring, "buffer:tostring() -> all it holds; nothing is taken out"),
    row("encode", put_encoded, "buffer:encode(v) -> buffer: appends a serialization"),
    row("decode", take_decoded, "buffer:decode() -> the value whose serialization it begins with, taken out"),
    row("reserve", pointers, "buffer:reserve(n): needs the FFI"),
    row("commit", pointers, "buffer:commit(n): needs the FFI"),
    row("ref", pointers, "buffer:ref(): needs the FFI"),
    row("putcdata", pointers, "buffer:putcdata(p, n): needs the FFI"),
];

static METAMETHODS: &[Row] = &[
    row("__tostring", tostring, "tostring(buffer)"),
    row("__len", length, "#buffer"),
    row("__concat", concat, "buffer .. s -> string"),
];

/// The bytes from `at` on are the contents. The options' tables are the userdata's user value.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    at: usize,
}

impl Buffer {
    fn contents(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }
    fn len(&self) -> usize {
        self.bytes.len() - self.at
    }
    /// Room is made by moving the contents down, once they are the smaller part.
    fn append(&mut self, bytes: &[u8]) {
        if self.at > 0 && self.at >= self.bytes.len() / 2 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }
    fn take(&mut self, n: usize) -> Vec<u8> {
        let end = self.at + n.min(self.len());
        let taken = self.bytes[self.at..end].to_vec();
        self.skip(n);
        taken
    }
    fn skip(&mut self, n: usize) {
        self.at += n.min(self.len());
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        }
    }
}

type Shared = std::rc::Rc<RefCell<Buffer>>;

/// What a buffer that is a native's argument holds, for those that take one in a string's place.
pub(crate) fn contents<'gc>(call: &mut Call<'_, 'gc>, i: usize) -> Result<Option<Vec<u8>>, Value<'gc>> {
    let Some(buffer) = buffer_of(call.arg(i)) else { return Ok(None) };
    call.reserve(buffer.borrow().len())?;
    Ok(Some(buffer.borrow().contents().to_vec()))
}

/// Registers the module for `require`; call it after the package library was opened.
pub fn open(cx: Cx<'_>) {
    let module = cx.table(0, NATIVES.len());
    cx.register(module, NATIVES);
    let methods = cx.table(0, METHODS.len());
    cx.register(methods, METHODS);
    let meta = cx.table(0, METAMETHODS.len() + 2);
    cx.register(meta, METAMETHODS);
    cx.set_field(meta, "__index", Value::table(methods));
    cx.set_field(meta, "__metatable", cx.str(b"buffer"));
    cx.set_field(cx.registry(), "string.buffer", Value::table(meta));
    crate::package::preload(cx, "string.buffer", Value::table(module));
}

fn buffer_of(v: Value<'_>) -> Option<Shared> {
    v.as_userdata()?.downcast::<RefCell<Buffer>>()
}

fn this<'gc>(call: &Call<'_, 'gc>) -> Result<Shared, Value<'gc>> {
    buffer_of(call.arg(0)).ok_or_else(|| call.type_error(0, "buffer"))
}

/// A size from 0 to 2^31 - 257: a number or a boxed integer, no text.
fn size<'gc>(call: &Call<'_, 'gc>, i: usize) -> Result<usize, Value<'gc>> {
    let n = match call.arg(i).kind() {
        Kind::Num(n) => vm::value::number::cut_to_wide(n),
        Kind::Int64(n) => n.bits as i64,
        _ => return Err(call.type_error(i, "number")),
    };
    usize::try_from(n).ok().filter(|n| *n < 0x7fff_ff00).ok_or_else(|| call.arg_error(i, "number out of range"))
}

fn new<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let mut at = 0;
    let mut room = 0;
    if !call.is_none(0) && call.arg(0).as_table().is_none() {
        if !call.is_none_or_nil(0) {
            room = size(call, 0)?;
        }
        at = 1;
    }
    let options = call.opt_table(at)?;
    let mut kept = Value::NIL;
    if let Some(options) = options {
        kept = Value::table(prepare(call, options)?);
    }
    call.reserve(room)?;
    let buffer = Buffer { bytes: Vec::with_capacity(room), at: 0 };
    let meta = call.cx.registry().field(b"string.buffer").as_table();
    let u = call.wrap(std::rc::Rc::new(RefCell::new(buffer)), meta);
    vm::value::UserdataObj::set_user_value(u, call.cx.mc, kept);
    call.ret(Value::userdata(u))
}

/// The options as serialization wants them: lists, and the index of each entry.
fn prepare<'gc>(call: &mut Call<'_, 'gc>, options: Table<'gc>) -> Result<Table<'gc>, Value<'gc>> {
    let cx = call.cx;
    let kept = cx.table(0, 4);
    for (name, list_name, index_name) in
        [(b"dict".as_slice(), "dict", "dict index"), (b"metatable", "metatable", "metatable index")]
    {
        let Some(given) = options.field(name).as_table() else { continue };
        let (list, index) = (cx.table(0, 0), cx.table(0, 0));
        let n = given.length();
        call.charge(n);
        call.reserve(n * 40)?;
        for i in 1..=n {
            let v = given.get_int(i);
            let fits = if name == b"dict" { v.as_str().is_some() } else { v.as_table().is_some() };
            if !fits {
                return Err(call.error("bad options table"));
            }
            list.set_int(cx.mc, i, v);
            if index.get(v).is_nil() && index.set(cx.mc, v, Value::num((i - 1) as f64)).is_err() {
                return Err(call.error("bad options table"));
            }
        }
        cx.set_field(kept, list_name, Value::table(list));
        cx.set_field(kept, index_name, Value::table(index));
    }
    Ok(kept)
}

fn dictionary<'gc>(v: Value<'gc>) -> Dictionary<'gc> {
    let Some(kept) = v.as_userdata().and_then(|u| u.user_value.get().as_table()) else { return Dictionary::default() };
    let table = |name: &[u8]| kept.field(name).as_table();
    Dictionary {
        strings: table(b"dict"),
        string_index: table(b"dict index"),
        metatables: table(b"metatable"),
        metatable_index: table(b"metatable index"),
    }
}

/// Appends the arguments from `next` on.
struct Put {
    next: usize,
}

impl Put {
    fn go<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let buffer = this(call)?;
        while self.next < call.len() {
            let i = self.next;
            self.next += 1;
            let v = call.arg(i);
            if let Some(other) = buffer_of(v) {
                if std::rc::Rc::ptr_eq(&other, &buffer) {
                    return Err(call.arg_error(i, "cannot put buffer into itself"));
                }
                let bytes = other.borrow().contents().to_vec();
                call.reserve(bytes.len() * 2)?;
                buffer.borrow_mut().append(&bytes);
                continue;
            }
            if let Some(s) = v.as_str() {
                call.reserve(s.len())?;
            }
            let mut text = Vec::new();
            let is_text = match v.kind() {
                Kind::Int64(n) => {
                    text = n.text().into_bytes();
                    true
                }
                _ => vm::native::write_text(v, &mut text),
            };
            if is_text {
                buffer.borrow_mut().append(&text);
                continue;
            }
            let f = call.metamethod(v, Meta::ToString);
            if f.is_nil() {
                return Err(call.type_error(i, "string/number/__tostring"));
            }
            call.push(f);
            call.push(v);
            return Ok(Outcome::Call(self));
        }
        call.ret(call.arg(0))
    }
}

impl Sequence for Put {
    fn step<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let made = call.result(0);
        call.clear();
        let mut text = Vec::new();
        if !vm::native::write_text(made, &mut text) {
            return Err(call.type_error(self.next - 1, "string/number/__tostring"));
        }
        this(call)?.borrow_mut().append(&text);
        self.go(call)
    }
}

fn put<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    Box::new(Put { next: 1 }).go(call)
}

/// Appends what string.format has made.
struct Formatted;
impl Sequence for Formatted {
    fn step<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let made = call.result(0).as_str();
        call.clear();
        if let Some(s) = made {
            call.reserve(s.len())?;
            this(call)?.borrow_mut().append(s.bytes());
        }
        call.ret(call.arg(0))
    }
}

fn putf<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    this(call)?;
    call.bytes(1)?;
    call.push(Value::row(&crate::string::FORMAT));
    for i in 1..call.len() {
        call.push(call.arg(i));
    }
    Ok(Outcome::Call(Box::new(Formatted)))
}

fn set<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let buffer = this(call)?;
    // (a string: numbers are not turned into one here)
    let bytes = call.arg(1).as_str().map(Call::as_bytes).ok_or_else(|| call.type_error(1, "string"))?;
    call.reserve(bytes.len())?;
    *buffer.borrow_mut() = Buffer { bytes: bytes.to_vec(), at: 0 };
    call.ret(call.arg(0))
}

fn get<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let buffer = this(call)?;
    // (without arguments, as with one nil; all are looked at before anything is taken)
    let wanted = |call: &Call<'_, 'gc>, i| if call.is_none_or_nil(i) { Ok(usize::MAX) } else { size(call, i) };
    for i in (1..call.len()).rev() {
        wanted(call, i)?;
    }
    for i in 1..call.len().max(2) {
        let n = wanted(call, i)?;
        let n = n.min(buffer.borrow().len());
        call.reserve(n)?;
        let taken = buffer.borrow_mut().take(n);
        let v = call.cx.str_vec(taken);
        call.push(v);
    }
    Ok(Outcome::Return)
}

fn skip<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let buffer = this(call)?;
    let n = size(call, 1)?;
    buffer.borrow_mut().skip(n);
    call.ret(call.arg(0))
}

fn reset<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let buffer = this(call)?;
    let mut buffer = buffer.borrow_mut();
    buffer.bytes.clear();
    buffer.at = 0;
    call.ret(call.arg(0))
}

fn free<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    *this(call)?.borrow_mut() = Buffer::default();
    call.ret(call.arg(0))
}

fn tostring<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let buffer = this(call)?;
    call.reserve(buffer.borrow().len())?;
    let v = call.cx.str(buffer.borrow().contents());
    call.ret(v)
}

fn length<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let n = this(call)?.borrow().len();
    call.ret(Value::num(n as f64))
}

fn concat<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let mut text = Vec::new();
    for i in 0..2 {
        match buffer_of(call.arg(i)) {
            Some(buffer) => {
                call.reserve(buffer.borrow().len() * 2)?;
                text.extend_from_slice(buffer.borrow().contents());
            }
            None if vm::native::write_text(call.arg(i), &mut text) => {}
            None => return Err(call.type_error(i, "string")),
        }
    }
    let v = call.string(text)?;
    call.ret(v)
}

fn pointers<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    this(call)?;
    Err(call.error("this buffer method hands out C pointers, which need the FFI"))
}

fn put_encoded<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let buffer = this(call)?;
    let v = call.any(1)?;
    let mut bytes = Vec::new();
    encode(call, v, &dictionary(call.arg(0)), &mut bytes)?;
    buffer.borrow_mut().append(&bytes);
    call.ret(call.arg(0))
}

fn take_decoded<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let buffer = this(call)?;
    let mut borrowed = buffer.borrow_mut();
    let mut rest = borrowed.contents();
    let before = rest.len();
    let v = decode(call, &mut rest, &dictionary(call.arg(0)))?;
    let used = before - rest.len();
    borrowed.skip(used);
    drop(borrowed);
    call.ret(v)
}

fn encode_value<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let v = call.any(0)?;
    let mut bytes = Vec::new();
    encode(call, v, &Dictionary::default(), &mut bytes)?;
    let s = call.string(bytes)?;
    call.ret(s)
}

fn decode_string<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let buffer = buffer_of(call.arg(0));
    let held = buffer.as_ref().map(|b| b.borrow().contents().to_vec());
    let mut rest = match (&held, call.arg(0).kind()) {
        (Some(held), _) => held.as_slice(),
        (None, Kind::Str(s)) => Call::as_bytes(s),
        _ => return Err(call.type_error(0, "string")),
    };
    let v = decode(call, &mut rest, &Dictionary::default())?;
    if !rest.is_empty() {
        return Err(call.error("left-over data in buffer"));
    }
    call.ret(v)
}
