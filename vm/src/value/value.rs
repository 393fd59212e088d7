//! A Lua value in eight bytes.
//!
//! A number is its own bits; everything else hides in the negative quiet NaNs: a tag in the upper sixteen bits, a pointer or a
//! small payload below. The word is carried as a pointer, so that a pointer's provenance survives the boxing.
//!
//! What must stay true: numbers from outside pass [`Value::num`], which makes every NaN the one canonical NaN, so no bit
//! pattern from a stranger can become a pointer; only this file turns words into `Gc` pointers.
use std::marker::PhantomData;

use gc_arena::collect::Trace;
use gc_arena::{Collect, Gc};

use super::function::{Cell, Closure, Int64, Int64Data, NativeFn, Userdata};
use super::string::Str;
use super::table::{Table, TableObj};
use crate::native::Row;
use crate::thread::Thread;

/// A Lua value: copied freely, valid while the arena is open.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Value<'gc>(*const (), PhantomData<Kind<'gc>>);

/// A value taken apart.
#[derive(Clone, Copy)]
pub enum Kind<'gc> {
    Nil,
    Bool(bool),
    Num(f64),
    Str(Str<'gc>),
    Table(Table<'gc>),
    Closure(Closure<'gc>),
    /// A native function without upvalues: the row itself.
    Row(&'static Row),
    Native(NativeFn<'gc>),
    Thread(Thread<'gc>),
    Userdata(Userdata<'gc>),
    /// A light userdata: a number without a meaning to Lua (`ngx.null` is 0).
    Light(u32),
    Int64(Int64<'gc>),
    /// A captured variable's cell: lives in registers only, Lua never sees it as a value.
    Cell(Cell<'gc>),
}

const SHIFT: u32 = 48;
const NIL: usize = 0xFFF9;
const BOOL: usize = 0xFFFA;
const ROW: usize = 0xFFFB;
const STR: usize = 0xFFFC;
const TABLE: usize = 0xFFFD;
const CLOSURE: usize = 0xFFFE;
/// The rarer kinds share a tag; the low three bits of the (eight-byte aligned) pointer tell them apart.
const OTHER: usize = 0xFFFF;
const O_CELL: usize = 0;
const O_THREAD: usize = 1;
const O_USERDATA: usize = 2;
const O_INT64: usize = 3;
const O_NATIVE: usize = 4;
const PAYLOAD: usize = (1 << SHIFT) - 1;
const LOW: usize = 7;
/// The largest word that is a number: the canonical NaN with the sign bit.
const MAX_NUMBER: usize = 0xFFF8_0000_0000_0000;

const _: () = assert!(size_of::<usize>() == 8, "values are boxed into 64-bit words");

// SAFETY: `kind` recovers exactly the Gc pointer that was put in, and each is traced.
unsafe impl<'gc> Collect<'gc> for Value<'gc> {
    #[inline]
    fn trace<C: Trace<'gc>>(&self, cc: &mut C) {
        if !self.is_gc() {
            return;
        }
        match self.kind() {
            Kind::Str(s) => cc.trace_gc(Gc::erase(s.object())),
            Kind::Table(p) => {
                weak::look_at(p);
                cc.trace_gc(Gc::erase(p));
            }
            Kind::Closure(p) => cc.trace_gc(Gc::erase(p)),
            Kind::Native(p) => cc.trace_gc(Gc::erase(p)),
            Kind::Thread(p) => cc.trace_gc(Gc::erase(p)),
            Kind::Userdata(p) => cc.trace_gc(Gc::erase(p)),
            Kind::Int64(p) => cc.trace_gc(Gc::erase(p)),
            Kind::Cell(p) => cc.trace_gc(Gc::erase(p)),
            Kind::Nil | Kind::Bool(_) | Kind::Num(_) | Kind::Row(_) | Kind::Light(_) => {}
        }
    }
}

// SAFETY: what is not traced is not followed either: a key whose value is nil (unless a string or a 64-bit integer, which are
// compared by content) is only compared as a word, and the entries of a weak table that died are emptied before the sweep.
unsafe impl<'gc> Collect<'gc> for TableObj<'gc> {
    fn trace<C: Trace<'gc>>(&self, cc: &mut C) {
        let mode = weak::mode(self.weak.get());
        let strong = |v: Value<'gc>| matches!(v.kind(), Kind::Str(_) | Kind::Int64(_));
        for v in &self.arr {
            if mode & weak::VALUES == 0 || strong(*v) {
                cc.trace(v);
            }
        }
        for node in &self.nodes {
            let empty = node.val.is_nil();
            if !empty && mode & weak::KEYS == 0 || strong(node.key) {
                cc.trace(&node.key);
            }
            if !empty && (mode & weak::VALUES == 0 || strong(node.val)) {
                cc.trace(&node.val);
            }
        }
        if let Some(meta) = self.meta {
            weak::look_at(meta);
        }
        cc.trace(&self.meta);
    }
}

/// Weak tables: found while the collector marks, emptied of dead entries before it sweeps.
pub(crate) mod weak {
    use std::cell::RefCell;

    use gc_arena::{Finalization, Gc};

    use super::{Kind, Value};
    use crate::context::Meta;
    use crate::value::Table;

    pub const KEYS: u8 = 1;
    pub const VALUES: u8 = 2;
    /// It is in the list.
    const LISTED: u8 = 4;

    /// The weak tables that one arena has marked in this cycle.
    #[derive(Default)]
    pub struct List(Vec<*const ()>);

    thread_local! {
        /// The list of the arena that is collecting.
        static CURRENT: RefCell<List> = const { RefCell::new(List(Vec::new())) };
    }

    /// Makes a list the current one while `f` collects its arena.
    pub fn collecting<T>(list: &mut List, f: impl FnOnce() -> T) -> T {
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, list));
        let result = f();
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, list));
        result
    }

    /// How a table is traced: one that is not in the list is a strong one, whatever its metatable says by now.
    pub fn mode(noted: u8) -> u8 {
        if noted & LISTED != 0 { noted } else { 0 }
    }

    /// Asks a table's metatable whether it is weak, before it is marked through this reference. What a cycle has learned of a weak
    /// table stays true to its end: values that were passed over once must be looked through in the end, even if the script has
    /// changed the mode meanwhile.
    #[inline]
    pub fn look_at(table: Table<'_>) {
        let t = table.borrow();
        let Some(meta) = t.meta else { return };
        if t.weak.get() & LISTED != 0 {
            return;
        }
        let meta = meta.borrow();
        let bit = 1 << Meta::Mode as u32;
        if meta.absent.get() & bit != 0 {
            return;
        }
        let mode = meta.field(b"__mode");
        if mode.is_nil() {
            meta.absent.set(meta.absent.get() | bit);
        }
        let has = |c: u8| mode.as_str().is_some_and(|s| s.bytes().contains(&c));
        let bits = if has(b'k') { KEYS } else { 0 } | if has(b'v') { VALUES } else { 0 };
        if bits != 0 {
            t.weak.set(bits | LISTED);
            CURRENT.with_borrow_mut(|list| list.0.push(Gc::as_ptr(table).cast()));
        }
    }

    /// Empties the entries of this cycle's weak tables that hold a dead key or value. `last`: the tables are forgotten.
    pub fn clear<'gc>(fc: &Finalization<'gc>, last: bool) {
        let list = CURRENT.with_borrow_mut(|list| std::mem::take(&mut list.0));
        for p in &list {
            // SAFETY: the address of a table that was marked in this cycle, and nothing is swept before the list is emptied.
            let table: Table<'gc> = unsafe { Gc::from_ptr(p.cast()) };
            // SAFETY: no barrier is needed, since only nil is stored.
            let mut t = unsafe { table.as_ref_cell() }.borrow_mut();
            let mode = t.weak.get();
            if last {
                t.weak.set(0);
            }
            if mode & VALUES != 0 {
                for v in t.arr.iter_mut().filter(|v| is_dead(fc, **v)) {
                    *v = Value::NIL;
                }
            }
            for node in &mut t.nodes {
                if node.val.is_nil() {
                    continue;
                }
                if mode & VALUES != 0 && is_dead(fc, node.val) || mode & KEYS != 0 && last && is_dead(fc, node.key) {
                    node.val = Value::NIL;
                }
            }
        }
        if !last {
            CURRENT.with_borrow_mut(|current| current.0 = list);
        }
    }

    fn is_dead<'gc>(fc: &Finalization<'gc>, v: Value<'gc>) -> bool {
        match v.kind() {
            Kind::Table(p) => Gc::is_dead(fc, p),
            Kind::Closure(p) => Gc::is_dead(fc, p),
            Kind::Native(p) => Gc::is_dead(fc, p),
            Kind::Thread(p) => Gc::is_dead(fc, p),
            Kind::Userdata(p) => Gc::is_dead(fc, p),
            _ => false,
        }
    }
}

impl<'gc> Value<'gc> {
    pub const NIL: Value<'gc> = Value::word(NIL << SHIFT);
    pub const TRUE: Value<'gc> = Value::word(BOOL << SHIFT | 1);
    pub const FALSE: Value<'gc> = Value::word(BOOL << SHIFT);

    #[inline(always)]
    const fn word(bits: usize) -> Self {
        Value(std::ptr::without_provenance(bits), PhantomData)
    }
    #[inline(always)]
    fn pointer<T>(tag: usize, low: usize, p: *const T) -> Self {
        debug_assert!(p.addr() & !(PAYLOAD & !LOW) == 0, "a user-space pointer, eight-byte aligned");
        Value(p.cast::<()>().map_addr(|a| a | tag << SHIFT | low), PhantomData)
    }
    #[inline(always)]
    fn tag(self) -> usize {
        self.0.addr() >> SHIFT
    }
    /// # Safety
    /// The value's tag (and low bits) must say that it holds a `Gc<T>`.
    #[inline(always)]
    unsafe fn gc<T>(self) -> Gc<'gc, T> {
        // SAFETY: by the caller's word this is what `pointer` was given, from `Gc::as_ptr`; `'gc` keeps it alive.
        unsafe { Gc::from_ptr(self.0.map_addr(|a| a & PAYLOAD & !LOW).cast()) }
    }

    /// The pointer, if the tag is `tag` and the low bits are 0: what remains when the tag is taken off is an address.
    #[inline(always)]
    fn untagged(self, tag: usize) -> Option<*const ()> {
        let p = self.0.map_addr(|a| a ^ (tag << SHIFT));
        if p.addr() >> SHIFT == 0 { Some(p) } else { None }
    }

    /// A number; every NaN becomes the canonical one.
    #[inline(always)]
    pub fn num(n: f64) -> Self {
        if n.is_nan() { Value::word(0x7FF8_0000_0000_0000) } else { Value::word(n.to_bits() as usize) }
    }
    /// The result of arithmetic on numbers: the processor's own NaN is quiet with an empty payload, so nothing to clean.
    #[inline(always)]
    pub(crate) fn num_raw(n: f64) -> Self {
        debug_assert!(n.to_bits() as usize <= MAX_NUMBER);
        Value::word(n.to_bits() as usize)
    }
    /// A place that an instruction notes for itself: as a number it would be a tiny one.
    #[inline(always)]
    pub(crate) fn mark(at: usize) -> Self {
        debug_assert!(at <= PAYLOAD);
        Value::word(at)
    }
    #[inline(always)]
    pub(crate) fn as_mark(self) -> usize {
        self.0.addr()
    }
    #[inline(always)]
    pub fn bool(b: bool) -> Self {
        Value::word(BOOL << SHIFT | usize::from(b))
    }
    pub fn light(id: u32) -> Self {
        Value::word(NIL << SHIFT | (id as usize) << 1 | 1)
    }
    #[inline(always)]
    pub fn str(s: Str<'gc>) -> Self {
        Value::pointer(STR, 0, Gc::as_ptr(s.object()))
    }
    #[inline(always)]
    pub fn table(t: Table<'gc>) -> Self {
        Value::pointer(TABLE, 0, Gc::as_ptr(t))
    }
    #[inline(always)]
    pub fn closure(c: Closure<'gc>) -> Self {
        Value::pointer(CLOSURE, 0, Gc::as_ptr(c))
    }
    pub fn row(row: &'static Row) -> Self {
        Value::pointer(ROW, 0, std::ptr::from_ref(row))
    }
    pub fn native(f: NativeFn<'gc>) -> Self {
        Value::pointer(OTHER, O_NATIVE, Gc::as_ptr(f))
    }
    pub fn thread(t: Thread<'gc>) -> Self {
        Value::pointer(OTHER, O_THREAD, Gc::as_ptr(t))
    }
    pub fn userdata(u: Userdata<'gc>) -> Self {
        Value::pointer(OTHER, O_USERDATA, Gc::as_ptr(u))
    }
    pub fn int64(i: Int64<'gc>) -> Self {
        Value::pointer(OTHER, O_INT64, Gc::as_ptr(i))
    }
    #[inline(always)]
    pub(crate) fn cell(c: Cell<'gc>) -> Self {
        Value::pointer(OTHER, O_CELL, Gc::as_ptr(c))
    }

    #[inline(always)]
    pub fn as_num(self) -> Option<f64> {
        if self.is_num() { Some(f64::from_bits(self.0.addr() as u64)) } else { None }
    }
    /// The word read as a number, whatever it is.
    #[inline(always)]
    pub(crate) fn bits(self) -> f64 {
        f64::from_bits(self.0.addr() as u64)
    }
    #[inline(always)]
    pub fn is_num(self) -> bool {
        self.0.addr() <= MAX_NUMBER
    }
    #[inline(always)]
    pub fn as_str(self) -> Option<Str<'gc>> {
        // SAFETY: the tag says what it points to, `pointer` was given it by `Gc::as_ptr`, and `'gc` keeps it alive.
        self.untagged(STR).map(|p| Str::from_object(unsafe { Gc::from_ptr(p.cast()) }))
    }
    #[inline(always)]
    pub fn as_table(self) -> Option<Table<'gc>> {
        // SAFETY: the tag says what it points to, `pointer` was given it by `Gc::as_ptr`, and `'gc` keeps it alive.
        self.untagged(TABLE).map(|p| unsafe { Gc::from_ptr(p.cast()) })
    }
    #[inline(always)]
    pub fn as_closure(self) -> Option<Closure<'gc>> {
        // SAFETY: the tag says what it points to, `pointer` was given it by `Gc::as_ptr`, and `'gc` keeps it alive.
        self.untagged(CLOSURE).map(|p| unsafe { Gc::from_ptr(p.cast()) })
    }
    #[inline(always)]
    pub(crate) fn as_cell(self) -> Option<Cell<'gc>> {
        // SAFETY: the tag and the low bits say so.
        if self.tag() == OTHER && self.0.addr() & LOW == O_CELL { Some(unsafe { self.gc() }) } else { None }
    }
    /// The row behind a native function, with upvalues or without.
    #[inline(always)]
    pub(crate) fn as_any_row(self) -> Option<&'static Row> {
        match self.as_row() {
            Some(row) => Some(row),
            None => {
                if let Kind::Native(f) = self.kind() {
                    Some(f.row)
                } else {
                    None
                }
            }
        }
    }
    pub fn as_thread(self) -> Option<Thread<'gc>> {
        if let Kind::Thread(t) = self.kind() { Some(t) } else { None }
    }
    pub fn as_userdata(self) -> Option<Userdata<'gc>> {
        if let Kind::Userdata(u) = self.kind() { Some(u) } else { None }
    }
    #[inline(always)]
    pub fn as_row(self) -> Option<&'static Row> {
        if self.tag() == ROW {
            // SAFETY: the tag says that this word was made by `row` from a `&'static Row`.
            Some(unsafe { &*self.0.map_addr(|a| a & PAYLOAD).cast::<Row>() })
        } else {
            None
        }
    }
    #[inline(always)]
    pub fn is_nil(self) -> bool {
        self.0.addr() == NIL << SHIFT
    }
    #[inline(always)]
    pub fn truthy(self) -> bool {
        self.0.addr() != NIL << SHIFT && self.0.addr() != BOOL << SHIFT
    }
    #[inline(always)]
    pub fn is_gc(self) -> bool {
        self.tag() >= STR
    }
    /// Of the kinds that share a tag: 64-bit integers are among them.
    #[inline(always)]
    pub(crate) fn is_rare(self) -> bool {
        self.tag() == OTHER
    }
    pub fn is_function(self) -> bool {
        matches!(self.kind(), Kind::Closure(_) | Kind::Row(_) | Kind::Native(_))
    }
    /// The very same word: the same object, or the same bits. Numbers may be equal without being identical (0 and -0).
    #[inline(always)]
    pub fn identical(self, other: Value<'gc>) -> bool {
        self.0.addr() == other.0.addr()
    }
    /// The fuel that comparing it, or looking it up in a table, takes.
    #[inline]
    pub fn weight(self) -> usize {
        self.as_str().map_or(0, Str::weight)
    }
    /// For hashing and `%p`: where the object is.
    pub fn address(self) -> usize {
        self.0.addr() & PAYLOAD
    }

    #[inline(always)]
    pub fn kind(self) -> Kind<'gc> {
        // SAFETY (all arms): the tag, and with OTHER the low bits, say which constructor made this word.
        unsafe {
            match self.tag() {
                NIL if self.is_nil() => Kind::Nil,
                NIL => Kind::Light(((self.0.addr() & PAYLOAD) >> 1) as u32),
                BOOL => Kind::Bool(self.0.addr() & 1 == 1),
                ROW => Kind::Row(&*self.0.map_addr(|a| a & PAYLOAD).cast::<Row>()),
                STR => Kind::Str(Str::from_object(self.gc())),
                TABLE => Kind::Table(self.gc()),
                CLOSURE => Kind::Closure(self.gc()),
                OTHER => match self.0.addr() & LOW {
                    O_CELL => Kind::Cell(self.gc()),
                    O_THREAD => Kind::Thread(self.gc()),
                    O_USERDATA => Kind::Userdata(self.gc()),
                    O_INT64 => Kind::Int64(self.gc()),
                    _ => Kind::Native(self.gc()),
                },
                _ => Kind::Num(f64::from_bits(self.0.addr() as u64)),
            }
        }
    }

    /// Equality without metamethods.
    #[inline]
    pub fn raw_equal(self, other: Value<'gc>) -> bool {
        if let (Some(a), Some(b)) = (self.as_num(), other.as_num()) {
            return a == b;
        }
        if self.identical(other) {
            return true;
        }
        match (self.kind(), other.kind()) {
            (Kind::Str(a), Kind::Str(b)) => a.same(b),
            (Kind::Int64(_), _) | (_, Kind::Int64(_)) => {
                Kind::int64_operands(self.kind(), other.kind()).is_some_and(|(a, b)| a.bits == b.bits)
            }
            _ => false,
        }
    }

    /// What `type()` says.
    pub fn type_name(self) -> &'static str {
        TYPE_NAMES[self.type_index()]
    }
    pub(crate) fn type_index(self) -> usize {
        match self.kind() {
            Kind::Nil => 0,
            Kind::Bool(_) => 1,
            Kind::Num(_) => 2,
            Kind::Str(_) => 3,
            Kind::Table(_) => 4,
            Kind::Closure(_) | Kind::Row(_) | Kind::Native(_) => 5,
            Kind::Thread(_) => 6,
            Kind::Userdata(object) if object.cdata => 8,
            Kind::Userdata(_) | Kind::Light(_) => 7,
            Kind::Int64(_) => 8,
            Kind::Cell(_) => 9,
        }
    }
}

/// The names of the types, as `Value::type_index` counts them.
pub(crate) const TYPE_NAMES: [&str; 10] =
    ["nil", "boolean", "number", "string", "table", "function", "thread", "userdata", "cdata", "upvalue"];

impl<'gc> Kind<'gc> {
    /// As an operand of 64-bit arithmetic: boxed integers, and numbers that are converted.
    pub(crate) fn int64_operands(x: Self, y: Self) -> Option<(Int64Data, Int64Data)> {
        let unsigned = [x, y].iter().any(|v| matches!(v, Kind::Int64(i) if i.unsigned));
        let operand = |v| match v {
            Kind::Int64(i) => Some(*i),
            Kind::Num(n) if unsigned => Some(Int64Data { bits: super::number::cut_to_unsigned(n), unsigned }),
            Kind::Num(n) => Some(Int64Data { bits: super::number::cut_to_wide(n) as u64, unsigned }),
            _ => None,
        };
        Some((operand(x)?, operand(y)?))
    }
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind() {
            Kind::Bool(b) => write!(f, "{b}"),
            Kind::Num(n) => write!(f, "{n}"),
            Kind::Str(s) => write!(f, "{:?}", String::from_utf8_lossy(s.bytes())),
            _ => write!(f, "{}", self.type_name()),
        }
    }
}
