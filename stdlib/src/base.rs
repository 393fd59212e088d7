//! The base library (Lua 5.1 manual 5.1, with LuaJIT's 5.2 extensions).
use vm::context::Meta;
use vm::native::basic::{IPAIRS_STEP, NEXT};
use vm::value::Kind;
use vm::value::number::parse_number;
use vm::value::table::TableRef;
use vm::{Call, Cx, Due, Outcome, Reply, Row, Sequence, Value, row};

use load::{dofile, load, loadfile};
pub use text::text_of;
use text::{print, tostring};

pub(crate) mod load;
mod text;

pub static NATIVES: &[Row] = &[
    row("assert", assert, "assert(v [, message]) -> all arguments, or the error message"),
    row("collectgarbage", collectgarbage, "collectgarbage([opt [, arg]]): controls the collector"),
    row("dofile", dofile, "dofile([filename]): loads a file and calls it"),
    row("error", error, "error(message [, level]): raises an error"),
    row("gcinfo", gcinfo, "gcinfo() -> KiB in use"),
    row("getfenv", getfenv, "getfenv([f]) -> the environment of a function or of a level"),
    row("getmetatable", getmetatable, "getmetatable(object) -> its metatable or what __metatable says"),
    row("ipairs", ipairs, "ipairs(t) -> iterator, t, 0"),
    row("load", load, "load(chunk [, chunkname [, mode [, env]]]) -> function, or nil and a message"),
    row("loadfile", loadfile, "loadfile([filename [, mode [, env]]]) -> function, or nil and a message"),
    row("loadstring", load, "loadstring(s [, chunkname]) -> function, or nil and a message"),
    row("newproxy", newproxy, "newproxy([boolean or proxy]) -> a blank userdata, perhaps with a metatable"),
    row("pairs", pairs, "pairs(t) -> next, t, nil, or what __pairs gives"),
    row("pcall", pcall, "pcall(f, ...) -> true and the results, or false and the error"),
    row("print", print, "print(...): writes the arguments, tabs between, to standard output"),
    row("rawequal", rawequal, "rawequal(a, b) -> whether they are equal, without metamethods"),
    row("rawget", rawget, "rawget(t, k) -> t[k] without metamethods"),
    row("rawlen", rawlen, "rawlen(v) -> the length of a table or string, without metamethods"),
    row("rawset", rawset, "rawset(t, k, v) -> t, after t[k] = v without metamethods"),
    row("select", select, "select(n, ...) -> the arguments from the n-th on; '#': how many"),
    row("setfenv", setfenv, "setfenv(f, table) -> f, with a new environment"),
    row("setmetatable", setmetatable, "setmetatable(t, meta) -> t"),
    row("tonumber", tonumber, "tonumber(v [, base]) -> number or nil"),
    row("tostring", tostring, "tostring(v) -> text"),
    row("type", type_, "type(v) -> the name of its type"),
    row("unpack", unpack, "unpack(t [, i [, j]]) -> t[i] .. t[j]"),
    row("xpcall", xpcall, "xpcall(f, handler, ...): as pcall; the handler makes the error value"),
];

/// Registers the library.
pub fn open(cx: Cx<'_>) {
    let globals = cx.library("", NATIVES);
    cx.set_field(globals, "next", Value::row(&NEXT));
    cx.set_field(globals, "_G", Value::table(globals));
    cx.set_field(globals, "_VERSION", cx.str(b"Lua 5.1"));
}

fn assert<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !call.any(0)?.truthy() {
        let message = match call.len() {
            1 => call.cx.str(b"assertion failed!"),
            _ => call.arg(1),
        };
        // (as LuaJIT: a message gets the caller's position)
        return Err(match call.cx.to_str(message) {
            // (up to a zero: it is a C string there)
            Some(text) => call.error(text.bytes().split(|c| *c == 0).next().unwrap_or_default()),
            // (anything else is not looked at: the error is what was pushed last)
            None => call.arg(call.len() - 1),
        });
    }
    for i in 0..call.len() {
        call.push(call.arg(i));
    }
    Ok(Outcome::Return)
}

const OPTIONS: &[&[u8]] =
    &[b"stop", b"restart", b"collect", b"count", b"step", b"setpause", b"setstepmul", b"isrunning"];

fn collectgarbage<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let opt = call.option(0, OPTIONS, b"collect")?;
    let result = match opt {
        b"count" => call.cx.memory_used() as f64 / 1024.0,
        b"collect" => {
            call.charge(call.cx.objects() / 2);
            // (a stopped collector runs again after this, and after a step, as in LuaJIT)
            call.cx.stop_collector(false);
            call.cx.request_collection(Due::Full);
            return Ok(Outcome::collect());
        }
        b"step" => {
            // (an object is 50 bytes or so)
            let work = call.opt_number(1, 0.0)?.clamp(0.0, 4e6) as u32 * 20 + 40;
            call.charge((work as usize).min(call.cx.objects() / 2));
            call.cx.stop_collector(false);
            call.cx.request_collection(Due::Step(work));
            return Ok(Outcome::Pause(Box::new(Stepped)));
        }
        b"stop" | b"restart" => {
            call.cx.stop_collector(opt == b"stop");
            0.0
        }
        b"setpause" => call.cx.set_pause(call.opt_integer(1, 0)?) as f64,
        b"setstepmul" => call.cx.set_step_multiplier(call.opt_integer(1, 0)?) as f64,
        _ => return call.ret(Value::bool(!call.cx.collector_is_stopped())),
    };
    call.ret(Value::num(result))
}

/// After a step of the collector: whether it ended a cycle.
struct Stepped;
impl Sequence for Stepped {
    fn step<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let done = call.cx.cycle_done();
        call.clear();
        call.ret(Value::bool(done))
    }
}

fn gcinfo<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let kib = (call.cx.memory_used() / 1024) as f64;
    call.ret(Value::num(kib))
}

fn error<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let level = call.opt_int(1, 1)?;
    let v = call.arg(0);
    // (a number is a message as well)
    match call.cx.to_str(v) {
        Some(s) if level > 0 => {
            let mut text = call.position(level as usize);
            text.extend_from_slice(s.bytes());
            Err(call.string(text)?)
        }
        _ => Err(v),
    }
}

fn getmetatable<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let v = call.any(0)?;
    if let Kind::Int64(_) = v.kind() {
        let ffi = call.cx.str(b"ffi");
        return call.ret(ffi);
    }
    let shown = call.metamethod(v, Meta::Metatable);
    if !shown.is_nil() {
        return call.ret(shown);
    }
    let meta = call.cx.metatable(v).map_or(Value::NIL, Value::table);
    call.ret(meta)
}

fn setmetatable<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    let meta = match call.arg(1).kind() {
        Kind::Nil if call.len() > 1 => None,
        Kind::Table(meta) => Some(meta),
        _ => return Err(call.arg_error(1, "nil or table expected")),
    };
    if !call.metamethod(call.arg(0), Meta::Metatable).is_nil() {
        return Err(call.error("cannot change a protected metatable"));
    }
    t.set_metatable(call.cx.mc, meta);
    call.ret(Value::table(t))
}

fn ipairs<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let v = call.any(0)?;
    let f = call.metamethod(v, Meta::Ipairs);
    if !f.is_nil() {
        return iterator_of(call, f, v);
    }
    call.table(0)?;
    call.push(Value::row(&IPAIRS_STEP));
    call.push(v);
    call.push(Value::num(0.0));
    Ok(Outcome::Return)
}

fn pairs<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let v = call.any(0)?;
    let f = call.metamethod(v, Meta::Pairs);
    if !f.is_nil() {
        return iterator_of(call, f, v);
    }
    call.table(0)?;
    call.push(Value::row(&NEXT));
    call.push(v);
    call.push(Value::NIL);
    Ok(Outcome::Return)
}

/// The first three results of a `__pairs` or `__ipairs`.
fn iterator_of<'gc>(call: &mut Call<'_, 'gc>, f: Value<'gc>, v: Value<'gc>) -> Reply<'gc> {
    struct Three;
    impl Sequence for Three {
        fn step<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
            let three = [call.result(0), call.result(1), call.result(2)];
            call.clear();
            for v in three {
                call.push(v);
            }
            Ok(Outcome::Return)
        }
    }
    call.push(f);
    call.push(v);
    Ok(Outcome::Call(Box::new(Three)))
}

fn pcall<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.any(0)?;
    Ok(Outcome::Pcall)
}

fn xpcall<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.any(0)?;
    if call.arg(1).is_function() { Ok(Outcome::Xpcall) } else { Err(call.type_error(1, "function")) }
}

fn rawequal<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (a, b) = (call.any(0)?, call.any(1)?);
    let boxed = matches!(a.kind(), Kind::Int64(_)) || matches!(b.kind(), Kind::Int64(_));
    let equal = if boxed { a.identical(b) } else { a.raw_equal(b) };
    call.charge(a.weight().min(b.weight()));
    call.ret(Value::bool(equal))
}

fn rawget<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (t, key) = (call.table(0)?, call.any(1)?);
    call.charge(key.weight());
    call.ret(t.get(key))
}

fn rawset<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    call.any(1)?;
    call.any(2)?;
    call.cx.check_growth(t)?;
    call.charge(call.arg(1).weight());
    t.set(call.cx.mc, call.arg(1), call.arg(2)).map_err(|bad| call.cx.str(bad.message().as_bytes()))?;
    call.ret(Value::table(t))
}

fn rawlen<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let n = match call.arg(0).kind() {
        Kind::Table(t) => t.length(),
        Kind::Str(s) => s.len(),
        _ => return Err(call.type_error(0, "table")),
    };
    call.ret(Value::num(n as f64))
}

fn select<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let count = call.len() as i64 - 1;
    if let Some(s) = call.arg(0).as_str() {
        if s.bytes().first() == Some(&b'#') {
            return call.ret(Value::num(count as f64));
        }
    }
    let mut n = call.int(0)?;
    if n < 0 {
        n += count + 1;
    }
    if n < 1 {
        return Err(call.arg_error(0, "index out of range"));
    }
    for i in n..=count {
        call.push(call.arg(i as usize));
    }
    Ok(Outcome::Return)
}

fn type_<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let v = call.any(0)?;
    call.ret(Value::str(call.cx.type_name(v)))
}

fn tonumber<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let base = if call.len() < 2 { 10 } else { call.opt_integer(1, 10)? };
    if base == 10 {
        let v = call.any(0)?;
        let n = match v.kind() {
            Kind::Num(_) => v,
            Kind::Int64(i) if i.unsigned => Value::num(i.bits as f64),
            Kind::Int64(i) => Value::num(i.bits as i64 as f64),
            Kind::Str(s) => {
                call.charge(s.len() / 32);
                parse_number(s.bytes()).map_or(Value::NIL, Value::num)
            }
            _ => Value::NIL,
        };
        return call.ret(n);
    }
    let text = call.bytes(0)?;
    if !(2..=36).contains(&base) {
        return Err(call.arg_error(1, "base out of range"));
    }
    // (strtoul: a C string, and C's white space)
    let text = text.split(|c| *c == 0).next().unwrap_or_default();
    let space = |c: &u8| c.is_ascii_whitespace() || *c == 0x0b;
    let from = text.iter().position(|c| !space(c)).unwrap_or(text.len());
    let to = text.iter().rposition(|c| !space(c)).map_or(from, |last| last + 1);
    call.charge(text.len() / 8);
    let n = digits(&text[from..to], base as u32);
    call.ret(n.map_or(Value::NIL, Value::num))
}

fn digits(text: &[u8], base: u32) -> Option<f64> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    // (0x is allowed in base 16, as strtoul allows it)
    let text = match text {
        [b'0', b'x' | b'X', rest @ ..] if base == 16 && !rest.is_empty() => rest,
        _ => text,
    };
    if text.is_empty() {
        return None;
    }
    // (strtoul: 64 bits at most)
    let mut n = 0u64;
    for c in text {
        let digit = (*c as char).to_digit(base)?;
        n = n.checked_mul(u64::from(base)).and_then(|n| n.checked_add(u64::from(digit))).unwrap_or(u64::MAX);
    }
    Some(if negative { -(n as f64) } else { n as f64 })
}

/// unpack gives fewer values than this (LUAI_MAXCSTACK).
const MAX_UNPACK: f64 = 8000.0;

pub fn unpack<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    let from = call.opt_int(1, 1)? as f64;
    let to = if call.is_none_or_nil(2) { t.length() as f64 } else { call.int(2)? as f64 };
    if from > to {
        return Ok(Outcome::Return);
    }
    if to - from + 1.0 >= MAX_UNPACK {
        return Err(call.error("too many results to unpack"));
    }
    call.charge((to - from) as usize);
    let mut i = from;
    while i <= to {
        let v = t.borrow().get_num(i);
        call.push(v);
        i += 1.0;
    }
    Ok(Outcome::Return)
}

fn newproxy<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    struct Proxy;
    let meta = match call.arg(0).kind() {
        Kind::Nil | Kind::Bool(false) => None,
        Kind::Bool(true) => Some(call.cx.table(0, 0)),
        Kind::Userdata(u) if u.downcast::<Proxy>().is_some() => u.meta.get(),
        _ => return Err(call.arg_error(0, "boolean or proxy expected")),
    };
    let proxy = call.wrap(std::rc::Rc::new(Proxy), meta);
    if meta.is_some() {
        call.cx.finalize(proxy);
    }
    call.ret(Value::userdata(proxy))
}

/// The function that getfenv and setfenv mean: an argument that is one, or a level.
fn function_at<'gc>(call: &mut Call<'_, 'gc>, i: usize) -> Result<Option<Value<'gc>>, Value<'gc>> {
    if call.arg(i).is_function() {
        return Ok(Some(call.arg(i)));
    }
    let level = call.opt_int(i, 1)?;
    if level < 0 {
        return Err(call.arg_error(i, "invalid level"));
    }
    if level == 0 {
        return Ok(None);
    }
    match call.level(level as usize) {
        Some(frame) => Ok(Some(frame.closure.map_or(frame.function, Value::closure))),
        None => Err(call.arg_error(i, "invalid level")),
    }
}

fn getfenv<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    // (of a built-in function, too: what `debug.setfenv` gave it, only `debug.getfenv` knows)
    let env = match function_at(call, 0)?.and_then(Value::as_closure) {
        Some(c) => c.env.get(),
        None => call.cx.thread_env(call.thread()),
    };
    call.ret(Value::table(env))
}

fn setfenv<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let env = call.table(1)?;
    if call.arg(0).is_nil() {
        return Err(call.type_error(0, "number"));
    }
    match function_at(call, 0)? {
        Some(f) => match f.as_closure() {
            Some(c) => {
                vm::value::function::ClosureObj::set_env(c, call.cx.mc, env);
                call.ret(f)
            }
            None => Err(call.error("'setfenv' cannot change environment of given object")),
        },
        None => {
            call.cx.set_thread_env(call.thread(), env);
            Ok(Outcome::Return)
        }
    }
}
