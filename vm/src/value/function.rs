//! Functions and the other objects that are neither strings nor tables.
use std::any::Any;
use std::rc::Rc;

use gc_arena::collect::Trace;
use gc_arena::lock::Lock;
use gc_arena::{Collect, Gc, Mutation};

use super::table::Table;
use super::value::Value;
use crate::code;
use crate::native::Row;

/// A captured variable that is assigned after its declaration.
pub type Cell<'gc> = Gc<'gc, Lock<Value<'gc>>>;
pub type Proto<'gc> = Gc<'gc, ProtoObj<'gc>>;
pub type Closure<'gc> = Gc<'gc, ClosureObj<'gc>>;
pub type NativeFn<'gc> = Gc<'gc, NativeObj<'gc>>;
pub type Userdata<'gc> = Gc<'gc, UserdataObj<'gc>>;
pub type Int64<'gc> = Gc<'gc, Int64Data>;

/// A compiled function in a VM: its constants are values now, its instructions carry this VM's inline caches.
#[derive(Collect)]
#[collect(no_drop)]
pub struct ProtoObj<'gc> {
    #[collect(require_static)]
    pub(crate) code: Box<[std::cell::Cell<code::Op>]>,
    pub(crate) consts: Box<[Value<'gc>]>,
    pub(crate) protos: Box<[Proto<'gc>]>,
    /// The chunk's names and lines, and where this function's are.
    #[collect(require_static)]
    pub(crate) debug: Rc<code::DebugInfo>,
    #[collect(require_static)]
    pub(crate) info_at: u32,
    #[collect(require_static)]
    pub params: u8,
    #[collect(require_static)]
    pub vararg: bool,
    #[collect(require_static)]
    pub(crate) max_stack: u8,
    /// So many `Capture`s follow the instruction that makes a closure of this.
    #[collect(require_static)]
    pub(crate) captures: u8,
}

// (16 more for the collector; a source can make many)
const _: () = assert!(size_of::<ProtoObj<'_>>() == 64);

impl ProtoObj<'_> {
    pub fn info(&self) -> code::Info<'_> {
        self.debug.function(self.info_at, self.code.len())
    }
    /// The instructions, with what this machine has noted in them.
    pub fn code(&self) -> impl DoubleEndedIterator<Item = code::Op> + ExactSizeIterator {
        self.code.iter().map(std::cell::Cell::get)
    }
}

/// A Lua function: code, environment, captured values (or the cells they live in).
#[derive(Collect)]
#[collect(no_drop)]
pub struct ClosureObj<'gc> {
    pub proto: Proto<'gc>,
    pub env: Lock<Table<'gc>>,
    pub upvalues: Box<[Lock<Value<'gc>>]>,
}

/// A native function with upvalues (an iterator, say).
#[derive(Collect)]
#[collect(no_drop)]
pub struct NativeObj<'gc> {
    #[collect(require_static)]
    pub row: &'static Row,
    pub upvalues: Box<[Lock<Value<'gc>>]>,
}

/// A host object. Its Drop runs while the arena collects: it may close a socket, it must not touch the VM.
pub struct UserdataObj<'gc> {
    pub data: Rc<dyn Any>,
    pub meta: Lock<Option<Table<'gc>>>,
    /// A Lua value that the object's methods keep.
    pub user_value: Lock<Value<'gc>>,
    /// What `debug.setfenv` has set.
    pub env: Lock<Option<Table<'gc>>>,
    /// `type()` calls it cdata: what OpenResty hands out through the FFI.
    pub cdata: bool,
}

// SAFETY: every field that can hold a Gc is traced.
unsafe impl<'gc> Collect<'gc> for UserdataObj<'gc> {
    fn trace<C: Trace<'gc>>(&self, cc: &mut C) {
        if let Some(meta) = self.meta.get() {
            // (a metatable may be a weak table itself)
            super::weak::look_at(meta);
        }
        cc.trace(&self.meta);
        cc.trace(&self.user_value);
        cc.trace(&self.env);
    }
}

impl UserdataObj<'_> {
    pub fn downcast<T: 'static>(&self) -> Option<Rc<T>> {
        self.data.clone().downcast::<T>().ok()
    }
}

/// `42LL`, `42ULL`.
#[derive(Clone, Copy, Collect, Debug, PartialEq, Eq)]
#[collect(require_static)]
pub struct Int64Data {
    pub bits: u64,
    pub unsigned: bool,
}

impl Int64Data {
    /// As `tostring` shows it.
    pub fn text(self) -> String {
        if self.unsigned { format!("{}ULL", self.bits) } else { format!("{}LL", self.bits as i64) }
    }
}

impl<'gc> ClosureObj<'gc> {
    pub fn upvalue(&self, at: usize) -> Option<Value<'gc>> {
        let v = self.upvalues.get(at)?.get();
        Some(v.as_cell().map_or(v, |cell| cell.get()))
    }
    /// Makes an upvalue of `this` the same variable as one of `other`: from now on they share a cell. False: there is no such
    /// upvalue.
    pub fn join_upvalues(
        this: Closure<'gc>,
        at: usize,
        other: Closure<'gc>,
        other_at: usize,
        mc: &Mutation<'gc>,
    ) -> bool {
        let (Some(slot), Some(shared)) = (this.upvalues.get(at), other.upvalues.get(other_at)) else { return false };
        let cell = match shared.get().as_cell() {
            Some(cell) => cell,
            None => {
                // (a copy until now; so are the other closures' that captured it)
                let cell = Gc::new(mc, Lock::new(shared.get()));
                see_cells(other.proto, other_at);
                write_slot(mc, Gc::erase(other), shared, Value::cell(cell));
                cell
            }
        };
        see_cells(this.proto, at);
        write_slot(mc, Gc::erase(this), slot, Value::cell(cell));
        true
    }
    /// What tells this upvalue apart: equal for closures that share a cell.
    pub fn upvalue_address(&self, at: usize) -> Option<usize> {
        let slot = self.upvalues.get(at)?;
        Some(slot.get().as_cell().map_or(slot.as_ptr().addr(), |cell| Gc::as_ptr(cell).addr()))
    }
    /// Assigns an upvalue, through its cell where it has one. False: there is no such upvalue.
    pub fn set_upvalue(this: Closure<'gc>, mc: &Mutation<'gc>, at: usize, v: Value<'gc>) -> bool {
        let Some(slot) = this.upvalues.get(at) else { return false };
        match slot.get().as_cell() {
            Some(cell) => cell.set(mc, v),
            None => write_slot(mc, Gc::erase(this), slot, v),
        }
        true
    }
    pub fn set_env(this: Closure<'gc>, mc: &Mutation<'gc>, env: Table<'gc>) {
        mc.backward_barrier(Gc::erase(this), None);
        // SAFETY: the barrier of the object that holds this lock has just been taken.
        unsafe { this.env.as_cell() }.set(env);
    }
}

impl<'gc> NativeObj<'gc> {
    pub fn set_upvalue(this: NativeFn<'gc>, mc: &Mutation<'gc>, at: usize, v: Value<'gc>) {
        if let Some(slot) = this.upvalues.get(at) {
            write_slot(mc, Gc::erase(this), slot, v);
        }
    }
}

impl<'gc> UserdataObj<'gc> {
    pub fn set_user_value(this: Userdata<'gc>, mc: &Mutation<'gc>, v: Value<'gc>) {
        write_slot(mc, Gc::erase(this), &this.user_value, v);
    }
    pub fn set_env(this: Userdata<'gc>, mc: &Mutation<'gc>, env: Table<'gc>) {
        mc.backward_barrier(Gc::erase(this), None);
        // SAFETY: the barrier of the object that holds this lock has just been taken.
        unsafe { this.env.as_cell() }.set(Some(env));
    }
    pub fn set_meta(this: Userdata<'gc>, mc: &Mutation<'gc>, meta: Option<Table<'gc>>) {
        mc.backward_barrier(Gc::erase(this), None);
        // SAFETY: the barrier of the object that holds this lock has just been taken.
        unsafe { this.meta.as_cell() }.set(meta);
    }
}

/// From now on the function's code finds the upvalue's value in a cell, if there is one.
fn see_cells(proto: Proto<'_>, upvalue: usize) {
    for (at, op) in proto.code.iter().enumerate() {
        match op.get() {
            code::Op::GetUp { a, u } if usize::from(u) == upvalue => op.set(code::Op::GetUpC { a, u }),
            code::Op::Closure { p, .. } => {
                let inner = proto.protos[usize::from(p)];
                let captures = proto.code[at + 1..].iter().take(usize::from(inner.captures));
                for (at, capture) in captures.enumerate() {
                    // (functions nest 200 deep at most)
                    if let code::Op::Capture { cap: code::Cap::Up(u), cell: false } = capture.get()
                        && usize::from(u) == upvalue
                    {
                        see_cells(inner, at);
                    }
                }
            }
            _ => {}
        }
    }
}

/// `slot` must be part of the object `owner`.
fn write_slot<'gc>(mc: &Mutation<'gc>, owner: Gc<'gc, ()>, slot: &Lock<Value<'gc>>, v: Value<'gc>) {
    mc.backward_barrier(owner, None);
    // SAFETY: the barrier of the object that holds this lock has just been taken.
    unsafe { slot.as_cell() }.set(v);
}
