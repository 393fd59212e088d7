//! The words of runtime errors, with the names of the variables at fault, as LuaJIT puts them.
use super::Exec;
use crate::code::Op;
use crate::code::names::{function_name, name_of};
use crate::value::{Kind, Value};

impl<'gc> Exec<'_, 'gc> {
    /// The running Lua function's instruction, and its index.
    pub(super) fn instruction(&self) -> Option<(usize, Op)> {
        let frame = self.st.frames.last()?;
        let at = (frame.pc as usize).checked_sub(1)?;
        let closure = frame.closure?;
        Some((at, closure.proto.code.get(at)?.get()))
    }
    /// A message with the running function's position.
    pub(super) fn error(&self, message: &[u8]) -> Value<'gc> {
        let mut text = self.st.position(0);
        text.extend_from_slice(message);
        self.cx.str_vec(text)
    }
    /// `attempt to ACTION local 'x' (a nil value)` about a register of the running function.
    fn about_register(&self, action: &str, reg: Option<u8>, v: Value<'gc>) -> Value<'gc> {
        let name = reg.and_then(|reg| {
            let frame = self.st.frames.last()?;
            name_of(&frame.closure?.proto, (frame.pc as usize).checked_sub(1)?, reg)
        });
        let mut text = format!("attempt to {action} ").into_bytes();
        if let Some((kind, name)) = name {
            text.extend_from_slice(kind.word().as_bytes());
            text.extend_from_slice(b" '");
            text.extend_from_slice(&name);
            text.extend_from_slice(b"' ");
            text.extend_from_slice(format!("(a {} value)", v.type_name()).as_bytes());
        } else {
            text.extend_from_slice(format!("a {} value", v.type_name()).as_bytes());
        }
        self.error(&text)
    }

    /// Indexing something that cannot be indexed.
    pub(super) fn index_error(&self, o: Value<'gc>, key: Value<'gc>) -> Value<'gc> {
        if let Kind::Int64(_) = o.kind() {
            let mut text = format!("'{}' ", c_name(o)).into_bytes();
            match key.as_str() {
                Some(name) => {
                    text.extend_from_slice(b"has no member named '");
                    text.extend_from_slice(name.bytes());
                    text.push(b'\'');
                }
                None => text.extend_from_slice(b"cannot be indexed"),
            }
            return self.error(&text);
        }
        let reg = match self.instruction() {
            Some((
                _,
                Op::GetTab { b, .. } | Op::GetInt { b, .. } | Op::GetField { b, .. } | Op::SelfField { b, .. },
            )) => Some(b),
            Some((_, Op::SetTab { a, .. } | Op::SetInt { a, .. } | Op::SetField { a, .. })) => Some(a),
            _ => None,
        };
        // Only if the register still holds the object: along an __index chain it is another one.
        let same = reg.is_some_and(|r| self.register(r).identical(o));
        self.about_register("index", reg.filter(|_| same), o)
    }
    fn register(&self, reg: u8) -> Value<'gc> {
        let base = self.st.frames.last().map_or(0, |f| f.base as usize);
        self.st.stack.get(base + reg as usize).copied().unwrap_or(Value::NIL)
    }

    /// Calling something that cannot be called.
    pub(super) fn call_error(&self, callee: Value<'gc>, nret: i16) -> Value<'gc> {
        use crate::thread::nret;
        if let Kind::Int64(_) = callee.kind() {
            return self.error(format!("'{}' is not callable", c_name(callee)).as_bytes());
        }
        let in_lua = self.st.frames.last().is_some_and(|f| f.closure.is_some());
        if nret != nret::NATIVE && nret != nret::FINISH && in_lua {
            if let Some((at, Op::Call { .. } | Op::TailCall { .. })) = self.instruction() {
                let name = self.st.frames.last().and_then(|f| f.closure).and_then(|c| function_name(&c.proto, at));
                if let Some((kind, name)) = name {
                    let mut text = format!("attempt to call {} '", kind.word()).into_bytes();
                    text.extend_from_slice(&name);
                    text.extend_from_slice(format!("' (a {} value)", callee.type_name()).as_bytes());
                    return self.error(&text);
                }
            }
        }
        let text = format!("attempt to call a {} value", callee.type_name());
        // (what an operator's metamethod is has no place in the source)
        if nret == nret::FINISH { self.cx.str(text.as_bytes()) } else { self.error(text.as_bytes()) }
    }

    /// Arithmetic: about the operand that is not a number (the second one, if the first is).
    pub(super) fn arith_error(&self, x: Value<'gc>, y: Value<'gc>) -> Value<'gc> {
        use crate::native::to_number;
        if let Some(error) = self.int64_error("perform arithmetic on", x, "and", y) {
            return error;
        }
        let (b, c) = match self.instruction() {
            Some((_, op)) => match op {
                Op::Add { b, c, .. }
                | Op::Sub { b, c, .. }
                | Op::Mul { b, c, .. }
                | Op::Div { b, c, .. }
                | Op::Mod { b, c, .. }
                | Op::Pow { b, c, .. } => (Some(b), Some(c)),
                Op::AddK { b, .. }
                | Op::SubK { b, .. }
                | Op::MulK { b, .. }
                | Op::DivK { b, .. }
                | Op::ModK { b, .. } => (Some(b), None),
                Op::Unm { b, .. } => (Some(b), Some(b)),
                _ => (None, None),
            },
            None => (None, None),
        };
        if to_number(x).is_some() {
            self.about_register("perform arithmetic on", c, y)
        } else {
            self.about_register("perform arithmetic on", b, x)
        }
    }
    pub(super) fn length_error(&self, v: Value<'gc>) -> Value<'gc> {
        if let Kind::Int64(_) = v.kind() {
            return self.error(format!("attempt to get length of '{}'", c_name(v)).as_bytes());
        }
        let reg = match self.instruction() {
            Some((_, Op::Len { b, .. })) => Some(b),
            _ => None,
        };
        self.about_register("get length of", reg, v)
    }
    /// Concatenation: about the operand in the stack slot `at` or, if that one is fine, the next.
    pub(super) fn concat_error(&self, x: Value<'gc>, y: Value<'gc>, at: usize) -> Value<'gc> {
        if let Some(error) = self.int64_error("concatenate", x, "and", y) {
            return error;
        }
        let base = self.st.frames.last().map_or(0, |f| f.base as usize);
        let fine = x.is_num() || x.as_str().is_some();
        let (v, at) = if fine { (y, at + 1) } else { (x, at) };
        self.about_register("concatenate", u8::try_from(at - base).ok(), v)
    }
    pub(super) fn compare_error(&self, x: Value<'gc>, y: Value<'gc>) -> Value<'gc> {
        if let Some(error) = self.int64_error("compare", x, "with", y) {
            return error;
        }
        let (a, b) = (x.type_name(), y.type_name());
        let text = if a == b {
            format!("attempt to compare two {a} values")
        } else {
            format!("attempt to compare {a} with {b}")
        };
        self.error(text.as_bytes())
    }
    /// Where 64-bit integers take part, both operands are named by type.
    fn int64_error(&self, action: &str, x: Value<'gc>, with: &str, y: Value<'gc>) -> Option<Value<'gc>> {
        if !matches!(x.kind(), Kind::Int64(_)) && !matches!(y.kind(), Kind::Int64(_)) {
            return None;
        }
        let text = format!("attempt to {action} '{}' {with} '{}'", c_name(x), c_name(y));
        Some(self.error(text.as_bytes()))
    }
}

/// A value's type, as LuaJIT's FFI calls it.
fn c_name(v: Value<'_>) -> &'static str {
    match v.kind() {
        Kind::Int64(i) if i.unsigned => "uint64_t",
        Kind::Int64(_) => "int64_t",
        _ => v.type_name(),
    }
}
