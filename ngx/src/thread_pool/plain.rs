//! Values that can go from one machine to another: copies, without identity, metatables or sharing.
use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Cx, Value};

pub(crate) enum Plain {
    Nil,
    Bool(bool),
    Num(f64),
    Str(Vec<u8>),
    /// `ngx.null`.
    Light(u32),
    Table(Vec<(Plain, Plain)>),
}

/// How deep tables may lie in each other; what is deeper is taken for a circle.
const MAX_DEPTH: usize = 100;

/// Why a value stays where it is.
pub(crate) enum Stays<'gc> {
    /// In OpenResty's words.
    Words(String),
    /// Out of memory: an error of the machine's own.
    Error(Value<'gc>),
}

/// Copies values out of a machine, counting the bytes of the copy against that machine's memory: what is shared inside it is
/// copied as often as it is met.
pub(crate) struct Copier<'gc> {
    cx: Cx<'gc>,
    pub bytes: usize,
}

impl<'gc> Copier<'gc> {
    pub fn new(cx: Cx<'gc>) -> Copier<'gc> {
        Copier { cx, bytes: 0 }
    }

    /// An argument, or a result: nil is one, too.
    pub fn copy(&mut self, v: Value<'gc>) -> Result<Plain, Stays<'gc>> {
        if v.is_nil() { Ok(Plain::Nil) } else { self.inner(v, 1) }
    }

    fn inner(&mut self, v: Value<'gc>, depth: usize) -> Result<Plain, Stays<'gc>> {
        let kind = match v.kind() {
            Kind::Bool(b) => return Ok(Plain::Bool(b)),
            Kind::Num(n) => return Ok(Plain::Num(n)),
            Kind::Light(n) => return Ok(Plain::Light(n)),
            Kind::Str(s) => {
                self.count(s.bytes().len())?;
                return Ok(Plain::Str(s.bytes().to_vec()));
            }
            Kind::Table(t) => {
                if depth >= MAX_DEPTH {
                    let words = "suspicious circular references, table depth exceed max depth: ";
                    return Err(Stays::Words(format!("{words}{MAX_DEPTH}")));
                }
                self.count(size_of::<Plain>())?;
                let mut pairs = Vec::new();
                let mut key = Value::NIL;
                loop {
                    let entry = t.borrow().next(key);
                    let Ok(Some((k, v))) = entry else { break };
                    self.count(2 * size_of::<Plain>())?;
                    pairs.push((self.inner(k, depth + 1)?, self.inner(v, depth + 1)?));
                    key = k;
                }
                return Ok(Plain::Table(pairs));
            }
            Kind::Nil => ": LUA_TNIL",
            Kind::Closure(_) | Kind::Row(_) | Kind::Native(_) => ": LUA_TFUNCTION",
            Kind::Userdata(_) => ": LUA_TUSERDATA",
            Kind::Thread(_) => ": LUA_TTHREAD",
            Kind::Int64(_) | Kind::Cell(_) => "",
        };
        Err(Stays::Words(format!("unsupported Lua type{kind}")))
    }

    fn count(&mut self, bytes: usize) -> Result<(), Stays<'gc>> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.cx.check_memory(self.bytes).map_err(Stays::Error)
    }
}

impl Plain {
    /// The same value in another machine.
    pub fn value<'gc>(&self, cx: Cx<'gc>) -> Value<'gc> {
        match self {
            Plain::Nil => Value::NIL,
            Plain::Bool(b) => Value::bool(*b),
            Plain::Num(n) => Value::num(*n),
            Plain::Str(bytes) => cx.str(bytes),
            Plain::Light(n) => Value::light(*n),
            Plain::Table(pairs) => {
                let t = cx.table(0, pairs.len());
                for (key, v) in pairs {
                    // (a table's keys are neither nil nor NaN: they were another's)
                    let _ = t.set(cx.mc, key.value(cx), v.value(cx));
                }
                Value::table(t)
            }
        }
    }

    /// About how much memory that takes.
    pub fn weight(&self) -> usize {
        match self {
            Plain::Str(bytes) => bytes.len(),
            Plain::Table(pairs) => pairs.iter().map(|(k, v)| 32 + k.weight() + v.weight()).sum::<usize>() + 64,
            _ => 0,
        }
    }
}
