//! The open arena: what a native or the interpreter may do while a slice runs.
//!
//! `Cx` is `Copy` and free of borrows, so a native can make values while it holds the host's request.
use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;

use gc_arena::lock::{Lock, RefLock};
use gc_arena::{Collect, Gc, GcWeak, Mutation};

use crate::code;
use crate::heap;
use crate::lex::names::Names;
use crate::native::Row;
use crate::thread::{State, Thread, ThreadId, ThreadObj};
use crate::value::function::{ClosureObj, NativeObj, ProtoObj};
use crate::value::number::write_number;
use crate::value::table::TableRef;
use crate::value::value::TYPE_NAMES;
use crate::value::{Closure, Int64Data, Kind, Proto, Str, Table, TableObj, Userdata, UserdataObj, Value};

macro_rules! metas {
    ($($id:ident $name:literal;)*) => {
        /// The metamethods the machine itself looks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Meta { $($id,)* }
        pub(crate) const META_NAMES: &[&str] = &[$($name,)*];
    };
}
metas! {
    Index "__index"; NewIndex "__newindex"; Call "__call"; Add "__add"; Sub "__sub"; Mul "__mul"; Div "__div"; Mod "__mod";
    Pow "__pow"; Unm "__unm"; Len "__len"; Eq "__eq"; Lt "__lt"; Le "__le"; Concat "__concat"; ToString "__tostring";
    Metatable "__metatable"; Pairs "__pairs"; Ipairs "__ipairs"; Gc "__gc"; Mode "__mode"; Name "__name";
}

#[derive(Collect)]
#[collect(no_drop)]
pub(crate) struct Root<'gc> {
    pub globals: Table<'gc>,
    pub registry: Table<'gc>,
    /// Metatables of the types that have one a type: string, nil and boolean, number, function, thread, 64-bit integers.
    pub type_metas: Gc<'gc, Lock<TypeMetas<'gc>>>,
    pub meta_names: Box<[Str<'gc>]>,
    /// In the order of `TYPE_NAMES`.
    pub type_names: Box<[Str<'gc>]>,
    pub no_memory: Value<'gc>,
    /// Constants with the same bytes share one string, so inline caches hit by address. Only an optimisation: it is emptied
    /// when it has grown too large.
    pub interned: Table<'gc>,
    /// The strings of one byte, and last the empty one: loops over characters make no objects.
    pub tiny: Box<[Str<'gc>]>,
    /// Light threads that have ended and that Lua never had as values: the next ones.
    pub spare_threads: Gc<'gc, RefLock<Vec<Thread<'gc>>>>,
    /// Empty stacks of threads that have ended.
    pub spare_states: Gc<'gc, RefLock<Vec<State<'gc>>>>,
    pub threads: Gc<'gc, RefLock<Vec<Slot<Thread<'gc>>>>>,
    pub stash: Gc<'gc, RefLock<Vec<Slot<Value<'gc>>>>>,
    /// Userdata that may have a `__gc`, oldest first; and dead ones whose `__gc` is still to be called, next one last.
    pub finalizable: Gc<'gc, RefLock<Vec<GcWeak<'gc, UserdataObj<'gc>>>>>,
    pub pending: Gc<'gc, RefLock<Vec<Userdata<'gc>>>>,
    #[collect(require_static)]
    pub shared: Rc<Shared>,
}

/// What the open and the closed arena both look at.
#[derive(Default)]
pub(crate) struct Shared {
    pub free_threads: Cell<Vec<u32>>,
    pub free_stash: Cell<Vec<u32>>,
    /// Stash handles dropped since the last slice.
    pub dropped: Rc<std::cell::RefCell<Vec<u32>>>,
    /// Where short texts are put together; empty in between.
    pub scratch: Cell<Vec<u8>>,
    /// Bytes the VM may use; 0: no limit.
    pub memory_limit: Cell<usize>,
    /// The thread's allocation counter when the VM was made: what has been allocated since, and is not free yet, counts as the
    /// VM's. So does what the host holds on this thread: a worker has one VM, and its limit is for both.
    pub baseline: Cell<isize>,
    /// What `collectgarbage` asked for: done when the slice is over.
    pub collect: Cell<Due>,
    /// The last requested step ended a cycle.
    pub cycle_done: Cell<bool>,
    /// `collectgarbage("stop")`.
    pub stopped: Cell<bool>,
    /// This thread has left the VM beyond its memory limit.
    pub exhausted: Cell<Option<ThreadId>>,
    pub pause: Cell<i64>,
    pub step_multiplier: Cell<i64>,
    /// Words the error of a native that is called in a phase its row excludes (the row's phases, the present one).
    pub refuse: Cell<Option<fn(u32, u32) -> String>>,
    /// Phases in which an error comes through a wrap function as it is, without the position of the caller in front.
    pub plain_wrap: Cell<u32>,
    /// What `debug.sethook` has set.
    pub hooks: crate::interp::hook::Hooks,
}

/// A collection that Lua asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Due {
    #[default]
    Nothing,
    Full,
    /// So many objects' worth of work.
    Step(u32),
}

#[derive(Clone, Copy, Collect, Default)]
#[collect(no_drop)]
pub(crate) struct TypeMetas<'gc> {
    pub string: Option<Table<'gc>>,
    pub nil: Option<Table<'gc>>,
    pub boolean: Option<Table<'gc>>,
    pub number: Option<Table<'gc>>,
    pub function: Option<Table<'gc>>,
    pub thread: Option<Table<'gc>>,
    pub int64: Option<Table<'gc>>,
    pub light: Option<Table<'gc>>,
}

#[derive(Collect)]
#[collect(no_drop)]
pub(crate) struct Slot<T> {
    #[collect(require_static)]
    pub generation: std::num::NonZeroU32,
    pub item: Option<T>,
}

/// Keeps a Lua value alive from outside the arena; dropping it never enters the arena.
pub struct Stashed {
    pub(crate) slot: u32,
    dropped: Rc<std::cell::RefCell<Vec<u32>>>,
}

impl Stashed {
    /// Which place holds the value: for the log.
    pub fn slot(&self) -> u32 {
        self.slot
    }
}

impl Drop for Stashed {
    fn drop(&mut self) {
        self.dropped.borrow_mut().push(self.slot);
    }
}

impl std::fmt::Debug for Stashed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stashed({})", self.slot)
    }
}

#[derive(Clone, Copy)]
pub struct Cx<'gc> {
    pub mc: &'gc Mutation<'gc>,
    pub(crate) root: &'gc Root<'gc>,
}

impl<'gc> Root<'gc> {
    pub fn new(mc: &Mutation<'gc>) -> Root<'gc> {
        let table = || Gc::new(mc, RefLock::new(TableObj::default()));
        let bytes = |s: &[u8]| Str::new(mc, s);
        let text = |s: &str| bytes(s.as_bytes());
        let interned = table();
        let meta_names: Box<[_]> = META_NAMES.iter().map(|s| text(s)).collect();
        let type_names: Box<[_]> = TYPE_NAMES.iter().map(|s| text(s)).collect();
        for name in meta_names.iter().chain(&type_names) {
            interned.borrow_mut(mc).set_hash(Value::str(*name), Value::TRUE);
        }
        let globals = table();
        let no_memory = Value::str(text("not enough memory"));
        Root {
            globals,
            registry: table(),
            type_metas: Gc::new(mc, Lock::new(TypeMetas::default())),
            meta_names,
            type_names,
            no_memory,
            interned,
            tiny: (0..=u8::MAX).map(|c| bytes(&[c])).chain([bytes(b"")]).collect(),
            spare_threads: Gc::new(mc, RefLock::new(Vec::new())),
            spare_states: Gc::new(mc, RefLock::new(Vec::new())),
            threads: Gc::new(mc, RefLock::new(Vec::new())),
            stash: Gc::new(mc, RefLock::new(Vec::new())),
            finalizable: Gc::new(mc, RefLock::new(Vec::new())),
            pending: Gc::new(mc, RefLock::new(Vec::new())),
            shared: Rc::new(Shared { pause: Cell::new(200), step_multiplier: Cell::new(200), ..Shared::default() }),
        }
    }
}

/// More interned constants than this are forgotten, and gather anew.
const MAX_INTERNED: u32 = 100_000;
/// So many empty stacks are kept.
const MAX_SPARE_STATES: usize = 32;
/// So many light threads that have ended are kept for the next ones: a host may have that many at a time, again and again.
const MAX_SPARE_THREADS: usize = 1024;

impl<'gc> Cx<'gc> {
    pub fn globals(self) -> Table<'gc> {
        self.root.globals
    }
    /// A table that Lua cannot reach: what natives keep for the VM's life.
    pub fn registry(self) -> Table<'gc> {
        self.root.registry
    }
    #[inline]
    pub fn str(self, bytes: &[u8]) -> Value<'gc> {
        Value::str(self.string(bytes))
    }
    #[inline]
    pub fn string(self, bytes: &[u8]) -> Str<'gc> {
        match bytes {
            [] => self.root.tiny[256],
            [c] => self.root.tiny[usize::from(*c)],
            _ => Str::new(self.mc, bytes),
        }
    }
    pub fn str_vec(self, bytes: Vec<u8>) -> Value<'gc> {
        if bytes.len() < 2 {
            return self.str(&bytes);
        }
        Value::str(Str::from_vec(self.mc, bytes))
    }
    /// A string from a buffer that is on the stack while it is short.
    pub fn str_small(self, bytes: smallvec::SmallVec<[u8; 32]>) -> Value<'gc> {
        if bytes.spilled() { self.str_vec(bytes.into_vec()) } else { self.str(&bytes) }
    }
    /// A string that shares its object with the constants of the same bytes: right for field names.
    pub fn intern(self, bytes: &[u8]) -> Str<'gc> {
        if bytes.len() > 40 {
            return self.string(bytes);
        }
        let fresh = self.string(bytes);
        {
            let known = self.root.interned.borrow();
            if let Some(at) = known.find_str(fresh) {
                if let Some(s) = known.nodes[at].key.as_str() {
                    return s;
                }
            }
        }
        let mut known = self.root.interned.borrow_mut(self.mc);
        if known.used > MAX_INTERNED {
            *known = TableObj::default();
        }
        known.set_hash(Value::str(fresh), Value::TRUE);
        fresh
    }
    /// What `type` says of a value.
    pub fn type_name(self, v: Value<'gc>) -> Str<'gc> {
        self.root.type_names[v.type_index()]
    }
    /// A field name as a value, interned.
    pub fn key(self, name: &str) -> Value<'gc> {
        Value::str(self.intern(name.as_bytes()))
    }
    pub fn table(self, array: usize, hash: usize) -> Table<'gc> {
        Gc::new(self.mc, RefLock::new(TableObj::with_capacity(array, hash)))
    }
    /// Sets a field of a table under an interned name.
    pub fn set_field(self, t: Table<'gc>, name: &str, v: Value<'gc>) {
        t.borrow_mut(self.mc).set_hash(self.key(name), v);
    }
    /// A native function with upvalues.
    pub fn native(self, row: &'static Row, upvalues: &[Value<'gc>]) -> Value<'gc> {
        let upvalues = upvalues.iter().map(|v| Lock::new(*v)).collect();
        Value::native(Gc::new(self.mc, NativeObj { row, upvalues }))
    }
    pub fn userdata<T: 'static>(self, object: Rc<T>, meta: Option<Table<'gc>>) -> Userdata<'gc> {
        self.host_object(object, meta, false)
    }
    /// A host object that calls itself cdata.
    pub fn cdata<T: 'static>(self, object: Rc<T>) -> Value<'gc> {
        Value::userdata(self.host_object(object, None, true))
    }
    fn host_object(self, data: Rc<dyn Any>, meta: Option<Table<'gc>>, cdata: bool) -> Userdata<'gc> {
        Gc::new(
            self.mc,
            UserdataObj { data, meta: Lock::new(meta), user_value: Lock::new(Value::NIL), env: Lock::new(None), cdata },
        )
    }
    pub fn int64(self, bits: u64, unsigned: bool) -> Value<'gc> {
        Value::int64(Gc::new(self.mc, Int64Data { bits, unsigned }))
    }
    /// Puts a table of rows into a Lua table, each under its name.
    pub fn register(self, t: Table<'gc>, rows: &'static [Row]) {
        for row in rows {
            self.set_field(t, row.name, Value::row(row));
        }
    }
    /// Creates (or finds) a global table by a dotted path and registers rows in it: a library.
    pub fn library(self, path: &str, rows: &'static [Row]) -> Table<'gc> {
        let mut t = self.globals();
        for part in path.split('.').filter(|p| !p.is_empty()) {
            t = match t.field(part.as_bytes()).as_table() {
                Some(inner) => inner,
                None => {
                    let inner = self.table(0, rows.len());
                    self.set_field(t, part, Value::table(inner));
                    inner
                }
            };
        }
        self.register(t, rows);
        t
    }
    pub fn coroutine(self, function: Value<'gc>) -> Thread<'gc> {
        let state = self.root.spare_states.borrow_mut(self.mc).pop().unwrap_or_else(State::small);
        ThreadObj::new(self.mc, state, function)
    }
    /// Lua is given the thread as a value.
    pub fn expose(self, thread: Thread<'gc>) -> Value<'gc> {
        thread.borrow_mut(self.mc).exposed = true;
        Value::thread(thread)
    }
    /// What a thread that has ended ran on is kept for the next one.
    pub(crate) fn recycle(self, mut state: State<'gc>) {
        let mut spare = self.root.spare_states.borrow_mut(self.mc);
        if spare.len() < MAX_SPARE_STATES && state.empty() {
            spare.push(state);
        }
    }

    /// The environment of chunks that a coroutine loads; the globals, unless it was set.
    pub fn thread_env(self, t: Thread<'gc>) -> Table<'gc> {
        t.borrow().rare().and_then(|rare| rare.env).unwrap_or(self.root.globals)
    }
    /// `thread.exdata` (0) or `thread.exdata2` (1) of a thread.
    pub fn exdata(self, t: Thread<'gc>, which: usize) -> Option<Value<'gc>> {
        t.borrow().rare().and_then(|rare| *rare.exdata.get(which)?)
    }
    pub fn set_exdata(self, t: Thread<'gc>, which: usize, v: Value<'gc>) {
        if let Some(slot) = t.borrow_mut(self.mc).rare_mut().exdata.get_mut(which) {
            *slot = Some(v);
        }
    }
    pub fn set_thread_env(self, t: Thread<'gc>, env: Table<'gc>) {
        t.borrow_mut(self.mc).rare_mut().env = Some(env);
    }

    /// A string as it is, a number as text; None for others.
    pub fn to_str(self, v: Value<'gc>) -> Option<Str<'gc>> {
        match v.kind() {
            Kind::Str(s) => Some(s),
            Kind::Num(n) => {
                let mut text = Vec::with_capacity(24);
                write_number(n, &mut text);
                Some(self.string(&text))
            }
            _ => None,
        }
    }
    /// What `tostring` shows, without asking `__tostring`.
    pub fn raw_tostring(self, v: Value<'gc>) -> Vec<u8> {
        match v.kind() {
            Kind::Nil => b"nil".to_vec(),
            Kind::Bool(b) => b.to_string().into_bytes(),
            Kind::Num(n) => {
                let mut text = Vec::new();
                write_number(n, &mut text);
                text
            }
            Kind::Str(s) => s.bytes().to_vec(),
            Kind::Int64(i) => i.text().into_bytes(),
            Kind::Light(0) => b"userdata: NULL".to_vec(),
            Kind::Light(n) => format!("userdata: 0x{n:08x}").into_bytes(),
            Kind::Row(row) => format!("function: builtin#{}", row.number()).into_bytes(),
            _ => format!("{}: {:#014x}", v.type_name(), v.address() & !7).into_bytes(),
        }
    }

    pub fn metatable(self, v: Value<'gc>) -> Option<Table<'gc>> {
        let metas = self.root.type_metas;
        match v.kind() {
            Kind::Table(t) => t.borrow().meta,
            Kind::Userdata(u) => u.meta.get(),
            Kind::Str(_) => metas.get().string,
            Kind::Nil => metas.get().nil,
            Kind::Bool(_) => metas.get().boolean,
            Kind::Num(_) => metas.get().number,
            Kind::Closure(_) | Kind::Row(_) | Kind::Native(_) => metas.get().function,
            Kind::Thread(_) => metas.get().thread,
            Kind::Int64(_) => metas.get().int64,
            Kind::Light(_) => metas.get().light,
            Kind::Cell(_) => None,
        }
    }
    /// Sets a metatable; of a type that has one a type, for all its values.
    pub fn set_metatable(self, v: Value<'gc>, meta: Option<Table<'gc>>) {
        let mut metas = self.root.type_metas.get();
        match v.kind() {
            Kind::Table(t) => return t.set_metatable(self.mc, meta),
            Kind::Userdata(u) => return UserdataObj::set_meta(u, self.mc, meta),
            Kind::Str(_) => metas.string = meta,
            Kind::Nil => metas.nil = meta,
            Kind::Bool(_) => metas.boolean = meta,
            Kind::Num(_) => metas.number = meta,
            Kind::Closure(_) | Kind::Row(_) | Kind::Native(_) => metas.function = meta,
            Kind::Thread(_) => metas.thread = meta,
            Kind::Int64(_) => metas.int64 = meta,
            Kind::Light(_) => metas.light = meta,
            Kind::Cell(_) => return,
        }
        self.root.type_metas.set(self.mc, metas);
    }
    /// The value under an event's name in a metatable; absence is remembered.
    #[inline]
    pub(crate) fn meta_of(self, meta: Option<Table<'gc>>, event: Meta) -> Value<'gc> {
        let Some(meta) = meta else { return Value::NIL };
        let meta = meta.borrow();
        let bit = 1 << event as u32;
        if meta.absent.get() & bit != 0 {
            return Value::NIL;
        }
        let v = meta.get_str(self.root.meta_names[event as usize]);
        if v.is_nil() {
            meta.absent.set(meta.absent.get() | bit);
        }
        v
    }
    /// `__index` of a metatable: of all events the one that is asked for most.
    #[inline(always)]
    pub(crate) fn index_of(self, meta: Option<Table<'gc>>) -> Value<'gc> {
        let Some(meta) = meta else { return Value::NIL };
        let name = self.root.meta_names[Meta::Index as usize];
        let known = meta.borrow();
        match known.nodes.get(known.index_at.get() as usize) {
            Some(node) if node.key.identical(Value::str(name)) => node.val,
            _ => self.find_index(meta),
        }
    }
    #[inline(never)]
    fn find_index(self, meta: Table<'gc>) -> Value<'gc> {
        let found = meta.borrow().find_str(self.root.meta_names[Meta::Index as usize]);
        if let Some(at) = found.and_then(|at| u32::try_from(at).ok()) {
            meta.borrow().index_at.set(at);
        }
        self.meta_of(Some(meta), Meta::Index)
    }
    pub fn metamethod(self, v: Value<'gc>, event: Meta) -> Value<'gc> {
        self.meta_of(self.metatable(v), event)
    }

    /// Compiles a chunk. The error is the message, positioned.
    pub fn load(self, source: &[u8], chunk_name: &[u8], env: Table<'gc>) -> Result<Closure<'gc>, Value<'gc>> {
        if source.first() == Some(&0x1b) {
            return Err(self.str(b"bytecode is refused: only Lua source can be loaded"));
        }
        let shared = &self.root.shared;
        let most = match shared.memory_limit.get() {
            0 => isize::MAX,
            limit => shared.baseline.get().saturating_add(isize::try_from(limit).unwrap_or(isize::MAX)),
        };
        match crate::compile::compile_at(source, chunk_name, 1, most) {
            Ok(chunk) => Ok(self.closure(chunk, env)),
            Err(e) if e.is_no_memory() => Err(self.root.no_memory),
            Err(e) => Err(self.str_vec(e.message)),
        }
    }
    /// A main chunk's closure from compiled code.
    pub fn closure(self, chunk: code::Chunk, env: Table<'gc>) -> Closure<'gc> {
        let code::Chunk { main, names, debug } = chunk;
        let proto = self.proto(main, &names, &Rc::new(debug));
        Gc::new(self.mc, ClosureObj { proto, env: Lock::new(env), upvalues: Box::new([]) })
    }
    /// (nothing is copied: a source may be ten megabytes of code, of constants, or of functions)
    fn proto(self, proto: code::Proto, names: &Names, debug: &Rc<code::DebugInfo>) -> Proto<'gc> {
        let code::Proto { code, consts, protos, info_at, params, vararg, max_stack, captures, .. } = proto;
        let consts = consts.into_vec().into_iter().enumerate().map(|(i, c)| match c {
            code::Const::Nil => Value::NIL,
            code::Const::Bool(b) => Value::bool(b),
            code::Const::Num(bits) => Value::num(f64::from_bits(bits)),
            // (those that instructions use as field names have numbers of 16 bits)
            code::Const::Str(symbol) if i <= usize::from(u16::MAX) => Value::str(self.intern(names.text(symbol))),
            code::Const::Str(symbol) => self.str(names.text(symbol)),
            code::Const::Int64 { bits, unsigned } => self.int64(bits, unsigned),
        });
        let consts: Vec<Value<'gc>> = consts.collect();
        let protos = protos.into_iter().map(|inner| self.proto(*inner, names, debug)).collect();
        let (consts, debug) = (consts.into_boxed_slice(), debug.clone());
        let proto = ProtoObj { code, consts, protos, debug, info_at, params, vararg, max_stack, captures };
        Gc::new(self.mc, proto)
    }

    /// "not enough memory" if that many more bytes would break the limit.
    #[inline]
    pub fn check_memory(self, bytes: usize) -> Result<(), Value<'gc>> {
        let shared = &self.root.shared;
        let limit = shared.memory_limit.get();
        if limit == 0 {
            return Ok(());
        }
        let used = heap::allocated() - shared.baseline.get();
        if usize::try_from(used).unwrap_or(0).saturating_add(bytes) > limit { Err(self.root.no_memory) } else { Ok(()) }
    }
    /// Asks for a collection once this slice is over; a native that wants to see it done returns `Outcome::Pause`.
    pub fn request_collection(self, due: Due) {
        self.root.shared.collect.set(due);
    }
    /// Whether the last requested step ended a cycle.
    pub fn cycle_done(self) -> bool {
        self.root.shared.cycle_done.get()
    }
    /// Stops the collector, or lets it go on. Memory limits still make it collect.
    pub fn stop_collector(self, stop: bool) {
        self.root.shared.stopped.set(stop);
    }
    /// Objects in the arena.
    pub fn objects(self) -> usize {
        self.mc.metrics().total_gc_count()
    }
    /// `collectgarbage("setpause")` and `"setstepmul"`: percentages that are kept and given back; the arena has its own pace.
    pub fn set_pause(self, percent: i64) -> i64 {
        self.root.shared.pause.replace(percent)
    }
    pub fn set_step_multiplier(self, percent: i64) -> i64 {
        self.root.shared.step_multiplier.replace(percent)
    }
    pub fn collector_is_stopped(self) -> bool {
        self.root.shared.stopped.get()
    }
    /// A userdata whose metatable's `__gc`, if it has one then, is called once it is dead.
    pub fn finalize(self, u: Userdata<'gc>) {
        self.root.finalizable.borrow_mut(self.mc).push(Gc::downgrade(u));
    }
    /// At the end of the VM's life: every userdata's `__gc` becomes due. Whether there is one.
    pub fn finalize_all(self) -> bool {
        let list = std::mem::take(&mut *self.root.finalizable.borrow_mut(self.mc));
        let list = list.into_iter().filter_map(|weak| weak.upgrade(self.mc));
        let mut pending = self.root.pending.borrow_mut(self.mc);
        pending.extend(list);
        !pending.is_empty()
    }
    /// The next dead userdata whose `__gc` is to be called, and that function.
    pub fn next_finalizer(self) -> Option<(Value<'gc>, Value<'gc>)> {
        if self.root.pending.borrow().is_empty() {
            return None;
        }
        let mut pending = self.root.pending.borrow_mut(self.mc);
        while let Some(u) = pending.pop() {
            let f = self.meta_of(u.meta.get(), Meta::Gc);
            if f.is_function() {
                return Some((f, Value::userdata(u)));
            }
        }
        None
    }
    /// Sets how the error of a native reads that is called in a phase its row excludes: from the row's phases and the present one.
    pub fn word_refusals(self, text: fn(u32, u32) -> String) {
        self.root.shared.refuse.set(Some(text));
    }
    /// In these phases an error that comes through a wrap function gets no position in front of it.
    pub fn wrap_plainly(self, phases: u32) {
        self.root.shared.plain_wrap.set(phases);
    }
    /// The same for one more entry in a table, where that makes it grow.
    #[inline]
    pub fn check_growth(self, t: Table<'gc>) -> Result<(), Value<'gc>> {
        match t.borrow().next_growth() {
            0..4096 => Ok(()),
            bytes => self.check_memory(bytes),
        }
    }
    /// Bytes this VM has in use, as far as the allocator has been told (0 without it).
    pub fn memory_used(self) -> usize {
        let shared = &self.root.shared;
        usize::try_from(heap::allocated() - shared.baseline.get()).unwrap_or(0)
    }

    /// Names a value from outside the arena.
    pub fn stash(self, v: Value<'gc>) -> Stashed {
        let shared = &self.root.shared;
        let mut stash = self.root.stash.borrow_mut(self.mc);
        let slot = take_slot(&shared.free_stash, &mut stash);
        stash[slot as usize].item = Some(v);
        Stashed { slot, dropped: shared.dropped.clone() }
    }
    pub fn fetch(self, handle: &Stashed) -> Value<'gc> {
        let stash = self.root.stash.borrow();
        stash.get(handle.slot as usize).and_then(|s| s.item).unwrap_or(Value::NIL)
    }
    pub(crate) fn sweep_stash(self) {
        let shared = &self.root.shared;
        if shared.dropped.borrow().is_empty() {
            return;
        }
        let mut stash = self.root.stash.borrow_mut(self.mc);
        let mut free = shared.free_stash.take();
        for slot in shared.dropped.borrow_mut().drain(..) {
            stash[slot as usize].item = None;
            free.push(slot);
        }
        shared.free_stash.set(free);
    }

    pub fn spawn(self, function: Value<'gc>, args: &[Value<'gc>]) -> (ThreadId, Thread<'gc>) {
        let spare = self.root.spare_threads.borrow_mut(self.mc).pop();
        let thread = match spare {
            Some(thread) => {
                thread.borrow_mut(self.mc).revive(function);
                thread
            }
            None => self.coroutine(function),
        };
        let id = {
            let mut threads = self.root.threads.borrow_mut(self.mc);
            let slot = take_slot(&self.root.shared.free_threads, &mut threads);
            threads[slot as usize].item = Some(thread);
            ThreadId { slot, generation: threads[slot as usize].generation }
        };
        let mut t = thread.borrow_mut(self.mc);
        t.id = Some(id);
        t.spawned = true;
        t.set_arguments(args);
        drop(t);
        (id, thread)
    }
    pub fn thread(self, id: ThreadId) -> Option<Thread<'gc>> {
        self.root.threads.borrow().get(id.slot as usize).filter(|s| s.generation == id.generation)?.item
    }
    pub fn bury(self, id: ThreadId) {
        let mut threads = self.root.threads.borrow_mut(self.mc);
        let Some(slot) = threads.get_mut(id.slot as usize).filter(|s| s.generation == id.generation) else { return };
        if let Some(thread) = slot.item.take() {
            let mut t = thread.borrow_mut(self.mc);
            t.id = None;
            if t.status == crate::thread::Status::Done {
                t.results = 0;
                let mut spare = self.root.spare_threads.borrow_mut(self.mc);
                if t.exposed || spare.len() >= MAX_SPARE_THREADS {
                    self.recycle(std::mem::take(&mut t.state));
                } else {
                    if !t.state.empty() {
                        t.state = State::small();
                    }
                    spare.push(thread);
                }
            }
            if !matches!(t.status, crate::thread::Status::Done | crate::thread::Status::Failed) {
                // Killed while it waited: it can never run again.
                t.status = crate::thread::Status::Done;
                t.state = crate::thread::State::default();
                t.results = 0;
            }
        }
        slot.generation = slot.generation.checked_add(1).unwrap_or(std::num::NonZeroU32::MIN);
        let mut free = self.root.shared.free_threads.take();
        free.push(id.slot);
        self.root.shared.free_threads.set(free);
    }
    /// The results of a finished light thread: whether it succeeded, and its results or its error.
    pub fn results_of(self, thread: Thread<'gc>) -> Option<(bool, Vec<Value<'gc>>)> {
        use crate::thread::Status;
        let t = thread.borrow();
        let ok = match t.status {
            Status::Done => true,
            Status::Failed => false,
            _ => return None,
        };
        Some((ok, t.state.stack.iter().take(t.results as usize).copied().collect()))
    }
}

fn take_slot<T>(free: &Cell<Vec<u32>>, slots: &mut Vec<Slot<T>>) -> u32 {
    let mut list = free.take();
    let slot = list.pop();
    free.set(list);
    slot.unwrap_or_else(|| {
        slots.push(Slot { generation: std::num::NonZeroU32::MIN, item: None });
        (slots.len() - 1) as u32
    })
}
