//! Checked arguments, with the errors of Lua's auxiliary library.
use super::Call;
use crate::code::names::{NameKind, function_name};
use crate::context::Cx;
use crate::thread::State;
use crate::value::number::{parse_number, write_number};
use crate::value::{Kind, Str, Table, Value};

impl<'gc> Call<'_, 'gc> {
    pub fn is_none(&self, i: usize) -> bool {
        i >= self.nargs
    }
    #[inline]
    pub fn is_none_or_nil(&self, i: usize) -> bool {
        self.arg(i).is_nil()
    }
    /// A number, or a string that is one.
    #[inline(always)]
    pub fn number(&self, i: usize) -> Result<f64, Value<'gc>> {
        let v = self.arg(i);
        if let Some(n) = v.as_num() {
            return Ok(n);
        }
        self.converted(i)
    }
    #[cold]
    fn converted(&self, i: usize) -> Result<f64, Value<'gc>> {
        let v = self.arg(i);
        self.owe(v.as_str().map_or(0, |text| text.len() / 32));
        to_number(v).ok_or_else(|| self.type_error(i, "number"))
    }
    #[inline]
    pub fn opt_number(&self, i: usize, default: f64) -> Result<f64, Value<'gc>> {
        if self.is_none_or_nil(i) { Ok(default) } else { self.number(i) }
    }
    /// A number cut to an integer, as luaL_checkinteger does.
    #[inline]
    pub fn integer(&self, i: usize) -> Result<i64, Value<'gc>> {
        Ok(self.number(i)? as i64)
    }
    /// A number cut to 32 bits, as LuaJIT's own functions do: what does not fit is the smallest one.
    #[inline]
    pub fn int(&self, i: usize) -> Result<i64, Value<'gc>> {
        let n = self.number(i)?;
        Ok(i64::from(if n > -2_147_483_649.0 && n < 2_147_483_648.0 { n as i32 } else { i32::MIN }))
    }
    #[inline]
    pub fn opt_int(&self, i: usize, default: i64) -> Result<i64, Value<'gc>> {
        if self.is_none_or_nil(i) { Ok(default) } else { self.int(i) }
    }
    #[inline]
    pub fn opt_integer(&self, i: usize, default: i64) -> Result<i64, Value<'gc>> {
        if self.is_none_or_nil(i) { Ok(default) } else { self.integer(i) }
    }
    /// A string, or a number as text. The bytes live as long as the arena is open: the native may go on using `self`.
    #[inline]
    pub fn bytes(&self, i: usize) -> Result<&'gc [u8], Value<'gc>> {
        self.str(i).map(Str::bytes)
    }
    #[inline]
    pub fn str(&self, i: usize) -> Result<Str<'gc>, Value<'gc>> {
        let v = self.arg(i);
        match v.as_str() {
            Some(s) => Ok(s),
            None => self.cx.to_str(v).ok_or_else(|| self.type_error(i, "string")),
        }
    }
    pub fn opt_bytes(&self, i: usize) -> Result<Option<&'gc [u8]>, Value<'gc>> {
        if self.is_none_or_nil(i) { Ok(None) } else { self.bytes(i).map(Some) }
    }
    #[inline]
    pub fn table(&self, i: usize) -> Result<Table<'gc>, Value<'gc>> {
        self.arg(i).as_table().ok_or_else(|| self.type_error(i, "table"))
    }
    pub fn opt_table(&self, i: usize) -> Result<Option<Table<'gc>>, Value<'gc>> {
        if self.is_none_or_nil(i) { Ok(None) } else { self.table(i).map(Some) }
    }
    pub fn callable(&self, i: usize) -> Result<Value<'gc>, Value<'gc>> {
        let v = self.arg(i);
        if v.is_function() { Ok(v) } else { Err(self.type_error(i, "function")) }
    }
    /// One of a few words, as luaL_checkoption wants it; the error shows it up to a zero byte.
    pub fn option(
        &self,
        i: usize,
        words: &[&'static [u8]],
        default: &'static [u8],
    ) -> Result<&'static [u8], Value<'gc>> {
        let given = if default.is_empty() { Some(self.bytes(i)?) } else { self.opt_bytes(i)? };
        let given = given.unwrap_or(default);
        let known = words.iter().find(|word| **word == given);
        known.copied().ok_or_else(|| {
            let shown = given.split(|c| *c == 0).next().unwrap_or_default();
            self.arg_error(i, &format!("invalid option '{}'", String::from_utf8_lossy(shown)))
        })
    }
    /// Any value at all.
    pub fn any(&self, i: usize) -> Result<Value<'gc>, Value<'gc>> {
        if self.is_none(i) { Err(self.arg_error(i, "value expected")) } else { Ok(self.arg(i)) }
    }
    /// A host object of type T; `name` is what the error calls it.
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use vm::{Call, Cx, Reply, Row, TableRef, Value, row};
    ///
    /// struct Counter(Cell<f64>);
    ///
    /// static NATIVES: &[Row] = &[row("counter", new, "counter() -> an object that counts")];
    /// static METHODS: &[Row] = &[row("add", add, "counter:add(n) -> the sum so far")];
    ///
    /// fn open(cx: Cx<'_>) {
    ///     cx.library("", NATIVES);
    ///     let meta = cx.table(0, 2); // one metatable for all of them
    ///     cx.register(meta, METHODS);
    ///     cx.set_field(meta, "__index", Value::table(meta));
    ///     cx.set_field(cx.registry(), "Counter", Value::table(meta));
    /// }
    ///
    /// fn new<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    ///     let meta = call.cx.registry().field(b"Counter").as_table();
    ///     let object = call.wrap(Rc::new(Counter(Cell::new(0.0))), meta);
    ///     call.ret(Value::userdata(object))
    /// }
    ///
    /// fn add<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    ///     let counter = call.user::<Counter>(0, "Counter")?;
    ///     counter.0.set(counter.0.get() + call.number(1)?);
    ///     call.ret(Value::num(counter.0.get()))
    /// }
    /// # let vm = vm::Vm::new();
    /// # let main = vm.enter(|cx| {
    /// #     open(cx);
    /// #     let main = cx.load(b"local c = counter() c:add(40) return c:add(2)", b"=t", cx.globals());
    /// #     cx.stash(Value::closure(main.map_err(|e| cx.raw_tostring(e)).unwrap()))
    /// # });
    /// # let (id, mut fuel) = (vm.start(&main), 1000);
    /// # assert!(matches!(vm.run(id, vm::Wake::Go, vm::Lent { host: &mut (), phase: 0, fuel: &mut fuel }), vm::Step::Done));
    /// # assert_eq!(vm.enter(|cx| cx.thread(id).and_then(|t| cx.results_of(t)).and_then(|r| r.1[0].as_num())), Some(42.0));
    /// ```
    pub fn user<T: 'static>(&self, i: usize, name: &str) -> Result<std::rc::Rc<T>, Value<'gc>> {
        self.arg(i).as_userdata().and_then(|u| u.downcast::<T>()).ok_or_else(|| self.type_error(i, name))
    }

    /// `bad argument #1 to 'f' (table expected, got nil)`.
    pub fn type_error(&self, i: usize, expected: &str) -> Value<'gc> {
        let got = if self.is_none(i) { "no value" } else { self.arg(i).type_name() };
        self.arg_error(i, &format!("{expected} expected, got {got}"))
    }
    /// `bad argument #1 to 'f' (message)`, with the caller's position.
    pub fn arg_error(&self, i: usize, message: &str) -> Value<'gc> {
        let mut number = i + 1;
        let name = self.state.frames.last().and_then(|f| {
            let closure = f.closure?;
            function_name(&closure.proto, (f.pc as usize).checked_sub(1)?)
        });
        let mut text = Vec::new();
        match name {
            Some((NameKind::Method, name)) if number == 1 => {
                text.extend_from_slice(b"calling '");
                text.extend_from_slice(&name);
                text.extend_from_slice(b"' on bad self (");
                text.extend_from_slice(message.as_bytes());
                text.push(b')');
                return self.error(text);
            }
            named => {
                let name = match named {
                    Some((kind, name)) => {
                        if kind == NameKind::Method {
                            number -= 1;
                        }
                        name
                    }
                    None => b"?".to_vec(),
                };
                text.extend_from_slice(format!("bad argument #{number} to '").as_bytes());
                text.extend_from_slice(&name);
                text.extend_from_slice(format!("' ({message})").as_bytes());
            }
        }
        self.error(text)
    }
    /// An error message with the position of the Lua function that called this native, if one did.
    pub fn error(&self, message: impl AsRef<[u8]>) -> Value<'gc> {
        error_at(self.cx, self.state, message.as_ref())
    }
}

#[cold]
pub(super) fn error_at<'gc>(cx: Cx<'gc>, state: &State<'gc>, message: &[u8]) -> Value<'gc> {
    let mut text = state.position(0);
    text.extend_from_slice(message);
    cx.str_vec(text)
}

/// As arithmetic converts: numbers, and strings that are numbers.
pub fn to_number(v: Value<'_>) -> Option<f64> {
    match v.kind() {
        Kind::Num(n) => Some(n),
        Kind::Str(s) => parse_number(s.bytes()),
        _ => None,
    }
}

/// Appends a string's bytes or a number's text; false for other values.
pub fn write_text(v: Value<'_>, out: &mut Vec<u8>) -> bool {
    match v.kind() {
        Kind::Str(s) => out.extend_from_slice(s.bytes()),
        Kind::Num(n) => write_number(n, out),
        _ => return false,
    }
    true
}
