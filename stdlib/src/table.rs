//! The table library (Lua 5.1 manual 5.5; pack, unpack and move as in 5.2 and 5.3; LuaJIT's and OpenResty's extensions).
use vm::context::Meta;
use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Sequence, Table, Value, row};

pub static NATIVES: &[Row] = &[
    row("concat", concat, "concat(t [, sep [, i [, j]]]) -> the items as one string"),
    row("foreach", foreach, "foreach(t, f): calls f(key, value) until it gives something"),
    row("foreachi", foreachi, "foreachi(t, f): calls f(i, value) until it gives something"),
    row("getn", getn, "getn(t) -> #t"),
    row("insert", insert, "insert(t, [pos,] value)"),
    row("maxn", maxn, "maxn(t) -> the largest positive numeric key"),
    row("move", move_, "move(a, f, e, t [, b]) -> b, after b[t..] = a[f..e]"),
    row("pack", pack, "pack(...) -> a list with its length in n"),
    row("remove", remove, "remove(t [, pos]) -> the removed value"),
    row("sort", sort, "sort(t [, less])"),
    row("unpack", crate::base::unpack, "unpack(t [, i [, j]]) -> t[i] .. t[j]"),
];

/// What LuaJIT and OpenResty add: modules, which are fields of the library once they have been required.
static MODULES: &[Row] = &[
    row("clear", clear, "clear(t): removes all entries, keeps the room"),
    row("clone", clone, "clone(t) -> a shallow copy"),
    row("isarray", isarray, "isarray(t) -> whether all keys are 1..n"),
    row("isempty", isempty, "isempty(t) -> whether there is no entry"),
    row("new", new, "new(narr, nhash) -> a table with room"),
    row("nkeys", nkeys, "nkeys(t) -> how many entries"),
];

/// Registers the library.
pub fn open(cx: Cx<'_>) {
    let table = cx.library("table", NATIVES);
    // (the same function under both names)
    cx.set_field(table, "unpack", cx.globals().field(b"unpack"));
}

/// `require "table.new"` and its kin give the function itself.
pub fn preload(cx: Cx<'_>) {
    for row in MODULES {
        crate::package::preload_field(cx, "table", row);
    }
}

/// A module of that name, at once: what lua-resty-core has done before any script runs.
pub fn require<'gc>(cx: Cx<'gc>, name: &str) -> Value<'gc> {
    let Some(row) = MODULES.iter().find(|row| row.name == name) else { return Value::NIL };
    let function = Value::row(row);
    cx.set_field(cx.library("table", &[]), name, function);
    crate::package::provide(cx, &format!("table.{name}"), function);
    function
}

fn clear<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    t.borrow_mut(call.cx.mc).clear();
    Ok(Outcome::Return)
}

fn clone<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    let n = t.borrow().heap_bytes();
    call.reserve(n)?;
    let copy = call.cx.table(t.length(), 0);
    let mut key = Value::NIL;
    while let Ok(Some((k, v))) = t.next(key) {
        // (a key that is in a table can be in another)
        let _ = copy.set(call.cx.mc, k, v);
        key = k;
    }
    call.ret(Value::table(copy))
}

fn new<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (array, hash) = (call.integer(0)?.clamp(0, 1 << 26) as usize, call.integer(1)?.clamp(0, 1 << 26) as usize);
    call.reserve(array * 8 + hash * 20)?;
    let t = call.cx.table(array, hash);
    call.ret(Value::table(t))
}

fn isarray<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    let entries = t.borrow().count();
    call.charge(entries / 8);
    let mut array = true;
    let mut key = Value::NIL;
    while let Ok(Some((k, _))) = t.next(key) {
        if !k.as_num().is_some_and(|n| n >= 1.0 && n.trunc() == n) {
            array = false;
            break;
        }
        key = k;
    }
    call.ret(Value::bool(array))
}

fn isempty<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let empty = matches!(call.table(0)?.next(Value::NIL), Ok(None));
    call.ret(Value::bool(empty))
}

fn nkeys<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let n = call.table(0)?.borrow().count();
    call.charge(n / 8);
    call.ret(Value::num(n as f64))
}

/// LuaJIT has written these functions in Lua: arguments that are missing are nil.
fn pad(call: &mut Call<'_, '_>, n: usize) {
    if call.len() < n {
        call.set_len(n);
    }
}

fn getn<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    pad(call, 1);
    with_length(call, |call, n| call.ret(n))
}

/// Goes on with `#t` of the first argument: getn, remove and foreachi are written in Lua there, and ask `__len`.
fn with_length<'gc>(call: &mut Call<'_, 'gc>, then: Then) -> Reply<'gc> {
    let t = call.table(0)?;
    let handler = call.metamethod(Value::table(t), Meta::Len);
    if handler.is_nil() {
        return then(call, Value::num(t.length() as f64));
    }
    call.push(handler);
    call.push(Value::table(t));
    call.push(Value::table(t));
    Ok(Outcome::Call(Box::new(Length(then))))
}

/// (whatever `__len` has given)
type Then = for<'gc> fn(&mut Call<'_, 'gc>, Value<'gc>) -> Reply<'gc>;

struct Length(Then);
impl Sequence for Length {
    fn step<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let n = call.result(0);
        call.clear();
        (self.0)(call, n)
    }
}

fn maxn<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    let mut max = 0.0;
    let mut key = Value::NIL;
    while let Ok(Some((k, _))) = t.next(key) {
        max = k.as_num().map_or(max, |n| f64::max(max, n));
        key = k;
    }
    call.charge(t.borrow().count() / 4);
    call.ret(Value::num(max))
}

fn concat<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    let sep = call.opt_bytes(1)?.unwrap_or(b"");
    let from = call.opt_int(2, 1)?;
    let to = if call.is_none_or_nil(3) { t.length() as i64 } else { call.int(3)? };
    let mut out = Vec::new();
    let table = t.borrow();
    let mut i = from;
    while i <= to {
        let v = table.get_num(i as f64);
        let more = v.as_str().map_or(24, |s| s.len()) + sep.len();
        if more > 1024 || i & 1023 == 0 {
            call.cx.check_memory(out.len() + more)?;
        }
        if !vm::native::write_text(v, &mut out) {
            let text = format!("invalid value ({}) at index {i} in table for 'concat'", v.type_name());
            return Err(call.error(text));
        }
        if i < to {
            out.extend_from_slice(sep);
        }
        i += 1;
    }
    drop(table);
    call.charge((to - from).max(0) as usize);
    let v = call.string(out)?;
    call.ret(v)
}

fn insert<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    let n = t.length();
    match call.len() {
        2 => {
            call.cx.check_growth(t)?;
            t.set_int(call.cx.mc, n + 1, call.arg(1));
        }
        3 => {
            let at = call.integer(1)?;
            let v = call.arg(2);
            call.cx.check_growth(t)?;
            let end = (n as i64 + 1).max(at);
            if at < -(1 << 20) {
                return Err(call.arg_error(1, "position out of bounds"));
            }
            call.charge((end - at).max(0) as usize / 8);
            let mut table = t.borrow_mut(call.cx.mc);
            let array = table.array_mut();
            if at >= 1 && at as usize <= n && n == array.len() {
                array.insert(at as usize - 1, v);
            } else {
                let mut i = end;
                while i > at {
                    let v = table.get_num((i - 1) as f64);
                    table.put(i as f64, v);
                    i -= 1;
                }
                table.put(at as f64, v);
            }
        }
        _ => return Err(call.error("wrong number of arguments to 'insert'")),
    }
    Ok(Outcome::Return)
}

fn remove<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    pad(call, 1);
    let t = call.table(0)?;
    if t.borrow().metatable().is_none() {
        return remove_of(call, t, t.length());
    }
    with_length(call, |call, len| {
        // (an index or nothing: no text is looked up)
        let n = vm::native::to_number(len).unwrap_or(0.0).clamp(0.0, (1u64 << 53) as f64);
        if call.is_none_or_nil(1) && (len.as_num() != Some(n) || n.fract() != 0.0) {
            return call.ret(Value::NIL);
        }
        remove_of(call, call.table(0)?, n as usize)
    })
}

fn remove_of<'gc>(call: &mut Call<'_, 'gc>, t: Table<'gc>, n: usize) -> Reply<'gc> {
    if call.is_none_or_nil(1) {
        if n == 0 {
            return Ok(Outcome::Return);
        }
        let v = t.get_int(n);
        t.set_int(call.cx.mc, n, Value::NIL);
        return call.ret(v);
    }
    let at = call.integer(1)?;
    if at < 1 || at > n as i64 {
        return Ok(Outcome::Return);
    }
    let at = at as usize;
    call.charge((n - at) / 8);
    let v = t.get_int(at);
    let mut table = t.borrow_mut(call.cx.mc);
    if n == table.array().len() {
        table.array_mut().remove(at - 1);
    } else {
        for i in at..n {
            let next = table.get_int(i + 1);
            table.put(i as f64, next);
        }
        table.put(n as f64, Value::NIL);
    }
    drop(table);
    call.ret(v)
}

fn move_<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    pad(call, 4);
    let from = call.table(0)?;
    let (f, e, t) = (call.integer(1)?, call.integer(2)?, call.integer(3)?);
    let to = call.opt_table(4)?.unwrap_or(from);
    if e >= f {
        let n = e - f;
        if n > 1 << 24 {
            return Err(call.arg_error(2, "too many elements to move"));
        }
        call.reserve(n as usize * 8)?;
        let forward = t <= f || t > e || call.len() > 4 && !Value::table(from).identical(Value::table(to));
        for i in 0..=n {
            let i = if forward { i } else { n - i };
            let v = from.borrow().get_num((f + i) as f64);
            to.borrow_mut(call.cx.mc).put((t + i) as f64, v);
        }
    }
    call.ret(Value::table(to))
}

fn pack<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.cx.table(call.len(), 1);
    for i in 0..call.len() {
        t.set_int(call.cx.mc, i + 1, call.arg(i));
    }
    call.cx.set_field(t, "n", Value::num(call.len() as f64));
    call.ret(Value::table(t))
}

/// foreach and foreachi: calls until a result is not nil.
struct Each {
    /// The next index of foreachi and the last one; foreach keeps its key in argument slot 2.
    next: Option<(f64, f64)>,
}

impl Each {
    fn go<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let t = call.table(0)?;
        let (key, v) = match &mut self.next {
            Some((i, last)) => {
                if *i > *last {
                    return Ok(Outcome::Return);
                }
                *i += 1.0;
                (Value::num(*i - 1.0), t.borrow().get_num(*i - 1.0))
            }
            None => match t.next(call.arg(2)) {
                Ok(Some(entry)) => entry,
                Ok(None) => return Ok(Outcome::Return),
                Err(()) => return Err(call.error("invalid key to 'next'")),
            },
        };
        call.set_arg(2, key);
        call.push(call.arg(1));
        call.push(key);
        call.push(v);
        Ok(Outcome::Call(self))
    }
}

impl Sequence for Each {
    fn step<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let v = call.result(0);
        call.clear();
        if v.is_nil() { self.go(call) } else { call.ret(v) }
    }
}

fn foreach<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    pad(call, 2);
    call.table(0)?;
    call.callable(1)?;
    call.set_len(3);
    call.set_arg(2, Value::NIL);
    Box::new(Each { next: None }).go(call)
}

fn foreachi<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    pad(call, 2);
    call.table(0)?;
    call.callable(1)?;
    with_length(call, |call, n| {
        let wrong = || call.cx.str(b"[builtin:foreachi]:0: 'for' limit must be a number");
        let n = vm::native::to_number(n).ok_or_else(wrong)?;
        call.set_len(3);
        Box::new(Each { next: Some((1.0, n)) }).go(call)
    })
}

fn sort<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    let n = t.length();
    if !call.is_none_or_nil(1) {
        call.callable(1)?;
    }
    if n < 2 {
        return Ok(Outcome::Return);
    }
    call.charge(n * (usize::BITS - n.leading_zeros()) as usize / 4);
    if call.is_none_or_nil(1) && sort_plain(call, t, n) {
        return Ok(Outcome::Return);
    }
    call.set_len(4);
    Box::new(Sort::new(n)).go(call)
}

/// Lists of numbers only, or of strings only, in the array part, need no function.
fn sort_plain<'gc>(call: &mut Call<'_, 'gc>, t: Table<'gc>, n: usize) -> bool {
    let mut table = t.borrow_mut(call.cx.mc);
    let Some(list) = table.array_mut().get_mut(..n) else { return false };
    // (NaN has no place in an order)
    if list.iter().all(|v| v.as_num().is_some_and(|n| !n.is_nan())) {
        list.sort_unstable_by(|a, b| a.as_num().partial_cmp(&b.as_num()).unwrap_or(std::cmp::Ordering::Equal));
        return true;
    }
    if list.iter().all(|v| v.as_str().is_some()) {
        list.sort_by(|a, b| match (a.as_str(), b.as_str()) {
            (Some(a), Some(b)) => a.bytes().cmp(b.bytes()),
            _ => std::cmp::Ordering::Equal,
        });
        return true;
    }
    false
}

/// A merge sort that asks a Lua function (or the `<` of its values), and can wait between any two questions.
///
/// Merging runs bottom-up: the comparison count is close to the least possible and the state is a few indices. Slots: 0 the
/// table, 1 the function, 2 a copy of the list that is merged from.
struct Sort {
    n: usize,
    /// Length of the sorted runs that are being merged.
    width: usize,
    /// The two runs: [left, middle) and [middle, right), how far each is used up, and where the output is.
    left: usize,
    i: usize,
    j: usize,
    k: usize,
    asked: bool,
}

impl Sort {
    fn new(n: usize) -> Sort {
        Sort { n, width: 0, left: 0, i: 0, j: 0, k: 0, asked: false }
    }

    fn go<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let t = call.table(0)?;
        loop {
            if self.width == 0 || self.left >= self.n {
                // The next pass merges runs twice as long, from a copy of what is there now.
                self.width = if self.width == 0 { 1 } else { self.width * 2 };
                if self.width >= self.n {
                    return Ok(Outcome::Return);
                }
                self.copy(call, t)?;
                self.begin(0);
            }
            let Some(from) = call.arg(2).as_table() else { return Ok(Outcome::Return) };
            let (middle, right) = self.run();
            while self.i < middle && self.j < right {
                let (a, b) = (from.get_int(self.i + 1), from.get_int(self.j + 1));
                // Stable: the right one goes first only if it is less than the left one.
                if let (Some(x), Some(y), true) = (b.as_num(), a.as_num(), call.arg(1).is_nil()) {
                    self.take(call, t, from, x < y);
                    continue;
                }
                if let (Some(x), Some(y), true) = (b.as_str(), a.as_str(), call.arg(1).is_nil()) {
                    self.take(call, t, from, x.bytes() < y.bytes());
                    continue;
                }
                self.asked = true;
                if call.arg(1).is_nil() {
                    let f = match call.metamethod(b, vm::Meta::Lt) {
                        f if f.is_nil() => call.metamethod(a, vm::Meta::Lt),
                        f => f,
                    };
                    if f.is_nil() {
                        let (x, y) = (b.type_name(), a.type_name());
                        let message = if x == y {
                            format!("attempt to compare two {x} values")
                        } else {
                            format!("attempt to compare {x} with {y}")
                        };
                        return Err(call.cx.str(message.as_bytes()));
                    }
                    call.push(f);
                } else {
                    call.push(call.arg(1));
                }
                call.push(b);
                call.push(a);
                return Ok(Outcome::Call(self));
            }
            while self.i < middle {
                self.take(call, t, from, false);
            }
            while self.j < right {
                self.take(call, t, from, true);
            }
            self.begin(right);
        }
    }

    fn run(&self) -> (usize, usize) {
        ((self.left + self.width).min(self.n), (self.left + 2 * self.width).min(self.n))
    }
    fn begin(&mut self, left: usize) {
        self.left = left;
        self.i = left;
        self.j = (left + self.width).min(self.n);
        self.k = left;
    }
    fn take<'gc>(&mut self, call: &Call<'_, 'gc>, to: Table<'gc>, from: Table<'gc>, right: bool) {
        let side = if right { &mut self.j } else { &mut self.i };
        let v = from.get_int(*side + 1);
        *side += 1;
        self.k += 1;
        to.set_int(call.cx.mc, self.k, v);
    }
    fn copy<'gc>(&self, call: &mut Call<'_, 'gc>, t: Table<'gc>) -> Result<(), Value<'gc>> {
        call.reserve(self.n * 8)?;
        let copy = match call.arg(2).as_table() {
            Some(copy) => copy,
            None => call.cx.table(self.n, 0),
        };
        for i in 1..=self.n {
            copy.set_int(call.cx.mc, i, t.get_int(i));
        }
        call.set_arg(2, Value::table(copy));
        Ok(())
    }
}

impl Sequence for Sort {
    fn step<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let less = call.result(0).truthy();
        call.clear();
        if std::mem::take(&mut self.asked) {
            let t = call.table(0)?;
            if let Kind::Table(from) = call.arg(2).kind() {
                self.take(call, t, from, less);
            }
        }
        self.go(call)
    }
}
