//! Values as text: `tostring` and `print`.
use std::io::Write;

use vm::context::Meta;
use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Native, Outcome, Reply, Sequence, Value};

/// What print and tostring do with a value that has a `__tostring`: None, if it has none.
pub fn text_of<'gc>(call: &Call<'_, 'gc>, v: Value<'gc>) -> Result<Vec<u8>, Value<'gc>> {
    match v.kind() {
        Kind::Str(_) | Kind::Num(_) => Ok(call.cx.raw_tostring(v)),
        _ => {
            let f = call.metamethod(v, Meta::ToString);
            if f.is_nil() { Ok(call.cx.raw_tostring(v)) } else { Err(f) }
        }
    }
}

pub fn tostring<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let v = call.any(0)?;
    if v.as_str().is_some() {
        return call.ret(v);
    }
    match text_of(call, v) {
        Ok(text) => {
            let text = call.cx.str_vec(text);
            call.ret(text)
        }
        Err(f) => {
            call.push(f);
            call.push(v);
            Ok(Outcome::TailCall)
        }
    }
}

/// Prints its arguments one after the other. Where the environment has another `tostring`, that one makes the texts: it is kept
/// in the last argument slot.
struct Print {
    next: usize,
    count: usize,
    custom: bool,
    out: Vec<u8>,
}

impl Print {
    fn go<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        while self.next < self.count {
            let v = call.arg(self.next);
            if self.next > 0 {
                self.out.push(b'\t');
            }
            self.next += 1;
            let made = if self.custom { Err(call.arg(self.count)) } else { text_of(call, v) };
            match made {
                Ok(text) => self.out.extend_from_slice(&text),
                Err(f) => {
                    call.push(f);
                    call.push(v);
                    return Ok(Outcome::Call(self));
                }
            }
        }
        self.out.push(b'\n');
        call.charge(self.out.len() / 16);
        // A closed standard output is no reason to fail.
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(&self.out);
        Ok(Outcome::Return)
    }
    fn with<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>, tostring: Value<'gc>) -> Reply<'gc> {
        self.custom = !tostring.as_row().is_some_and(|row| std::ptr::fn_addr_eq(row.native, self::tostring as Native));
        if self.custom {
            call.set_len(self.count + 1);
            call.set_arg(self.count, tostring);
        }
        self.go(call)
    }
}

impl Sequence for Print {
    fn step<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let Some(text) = call.cx.to_str(call.result(0)) else {
            return Err(call.error("'tostring' must return a string to 'print'"));
        };
        self.out.extend_from_slice(text.bytes());
        call.clear();
        self.go(call)
    }
}

/// The environment's `__index` has been asked for `tostring`.
struct Asked(Box<Print>);
impl Sequence for Asked {
    fn step<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let f = call.result(0);
        call.clear();
        self.0.with(call, f)
    }
}

pub fn print<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let print = Box::new(Print { next: 0, count: call.len(), custom: false, out: Vec::new() });
    let mut env = call.cx.thread_env(call.thread());
    for _ in 0..100 {
        let f = env.field(b"tostring");
        if !f.is_nil() {
            return print.with(call, f);
        }
        let index = call.metamethod(Value::table(env), Meta::Index);
        match index.as_table() {
            Some(next) => env = next,
            None if index.is_nil() => break,
            None => {
                let name = call.cx.key("tostring");
                for v in [index, Value::table(env), name] {
                    call.push(v);
                }
                return Ok(Outcome::Call(Box::new(Asked(print))));
            }
        }
    }
    print.with(call, Value::NIL)
}
