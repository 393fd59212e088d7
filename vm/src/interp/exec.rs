//! The interpreter loop. The file is long because it is one function: what that keeps in registers cannot be handed on.
//!
//! Registers, instructions and constants are reached through raw pointers that live in this one function. What makes them
//! valid:
//! 1. Code comes from our compiler only (bytecode cannot be loaded): registers are below `max_stack`, constants, captures (also as
//!    many `Capture`s behind a `Closure` as its function has) and jump targets exist.
//! 2. `push_lua` (and the inlined copy of it) makes `base + max_stack` slots exist before a function runs; the stack never
//!    shrinks while a thread lives.
//! 3. Whatever may move the stack (natives, calls, coroutine switches) goes through `drive!` or `native!`, which load `base` anew.
//! 4. A table is dereferenced without its RefCell's flag only between instructions of this loop, where nothing holds a borrow.
//!    Stores take the write barrier first when the value is a GC pointer.
//! 5. The frame's `pc` is saved before anything that can look at it: errors, natives, calls, leaving.
//!
//! The arms do the common case; everything else is a method that may take its time.
use std::cell::Cell;

use gc_arena::lock::Lock;
use gc_arena::{Gc, Mutation};

use super::Exec;
use super::drive::{Act, Flow};
use super::meta::{Arith, Compare, power};
use crate::code::{MULTI, Op};
use crate::native::Outcome;
use crate::native::basic::{IPAIRS_STEP, NEXT};
use crate::thread::{Frame, FrameKind, MAX_FRAMES, MAX_STACK, nret};
use crate::value::number::modulo;
use crate::value::table::{TableObj, array_index};
use crate::value::{Closure, Table, Value};
use crate::vm::Step;

/// # Safety
/// No borrow of this table may be alive (rule 4).
#[inline(always)]
unsafe fn peek<'a, 'gc>(t: Table<'gc>) -> &'a TableObj<'gc> {
    // SAFETY: by the caller's word.
    unsafe { &*t.as_ptr() }
}
/// A table to store `v` into, the barrier taken.
///
/// # Safety
/// As for `peek`.
#[inline(always)]
unsafe fn poke<'a, 'gc>(mc: &Mutation<'gc>, t: Table<'gc>, v: Value<'gc>) -> &'a mut TableObj<'gc> {
    if v.is_gc() {
        mc.backward_barrier(Gc::erase(t), None);
    }
    // SAFETY: by the caller's word.
    unsafe { &mut *t.as_ptr() }
}

impl<'gc> Exec<'_, 'gc> {
    /// Runs from the top frame (a Lua function's) on until there is a reason to stop.
    ///
    /// There are two of it: one for machines with a hook (`hook.rs`).
    pub(super) fn exec<const HOOKED: bool>(&mut self) -> Step {
        let mc = self.cx.mc;
        let mut fuel = self.fuel;
        let mut closure: Closure<'gc>;
        let mut pc: *const Cell<Op>;
        let mut consts: *const Value<'gc>;
        let mut base: *mut Value<'gc>;
        let mut base_i: usize;

        macro_rules! frame {
            () => {{
                let n = self.st.frames.len();
                debug_assert!(n > 0);
                // SAFETY: while a Lua function runs, its frame is there.
                unsafe { self.st.frames.get_unchecked_mut(n - 1) }
            }};
        }
        macro_rules! enter {
            () => {{
                let f = *frame!();
                debug_assert!(f.kind == FrameKind::Lua);
                // SAFETY: rule 2; frames of kind Lua have a closure.
                unsafe {
                    closure = f.closure.unwrap_unchecked();
                    let proto = Gc::as_ref(closure.proto);
                    base_i = f.base as usize;
                    debug_assert!(base_i + proto.max_stack as usize <= self.st.stack.len());
                    pc = proto.code.as_ptr().add(f.pc as usize);
                    consts = proto.consts.as_ptr();
                    base = self.st.stack.as_mut_ptr().add(base_i);
                }
            }};
        }
        macro_rules! R {
            // SAFETY: rule 1.
            ($i:expr) => {
                unsafe { *base.add($i as usize) }
            };
        }
        macro_rules! SET {
            ($i:expr, $v:expr) => {{
                let v = $v;
                // SAFETY: rule 1.
                unsafe { *base.add($i as usize) = v }
            }};
        }
        macro_rules! K {
            // SAFETY: rule 1.
            ($k:expr) => {
                unsafe { *consts.add($k as usize) }
            };
        }
        macro_rules! U {
            // SAFETY: rule 1.
            ($u:expr) => {
                unsafe { closure.upvalues.get_unchecked($u as usize).get() }
            };
        }
        macro_rules! jump {
            // SAFETY: rule 1.
            ($off:expr) => {
                pc = unsafe { pc.offset($off as isize) }
            };
        }
        // A jump that depends on a value. As a branch, of which one side is predicted and runs ahead: computing the address from the
        // value would make the next instruction wait for it, which costs a third of a program's time.
        macro_rules! branch {
            ($off:expr) => {{
                jump!($off);
                std::hint::black_box(());
            }};
        }
        macro_rules! save {
            () => {{
                // SAFETY: both point into the same function's code.
                let at = unsafe { pc.offset_from(closure.proto.code.as_ptr()) };
                frame!().pc = at as u32;
            }};
        }
        macro_rules! flow {
            ($flow:expr) => {{
                let flow = $flow;
                fuel = self.fuel;
                match flow {
                    // SAFETY: rule 2.
                    Flow::Next => base = unsafe { self.st.stack.as_mut_ptr().add(base_i) },
                    Flow::Reload => enter!(),
                    Flow::Leave => return self.left(),
                }
            }};
        }
        macro_rules! drive {
            ($act:expr) => {{
                save!();
                self.fuel = fuel;
                let act = $act;
                flow!(match act {
                    Act::Go(flow) => flow,
                    act => self.drive(act),
                })
            }};
        }
        macro_rules! burn {
            () => {
                fuel -= 1;
                if fuel < 0 {
                    save!();
                    self.fuel = fuel;
                    return Step::OutOfFuel;
                }
            };
        }
        macro_rules! arith {
            ($a:expr, $x:expr, $y:expr, $op:ident, $f:expr) => {{
                let (x, y) = ($x, $y);
                if let (Some(m), Some(n)) = (x.as_num(), y.as_num()) {
                    let f: fn(f64, f64) -> f64 = $f;
                    SET!($a, Value::num_raw(f(m, n)));
                    // (an end of its own: merged with those of other instructions it would be one jump more)
                    std::hint::black_box(());
                } else {
                    drive!(self.arith(Arith::$op, x, y, base_i + $a as usize))
                }
            }};
        }
        // A comparison that took its time.
        macro_rules! decided {
            ($jumps:expr, $off:expr) => {{
                if $jumps {
                    jump!($off);
                }
                fuel = self.fuel;
                if fuel < 0 {
                    save!();
                    return Step::OutOfFuel;
                }
            }};
        }
        macro_rules! compare {
            ($x:expr, $y:expr, $off:expr, $how:ident, $op:tt, $sense:expr) => {{
                let (x, y) = ($x, $y);
                if let (Some(m), Some(n)) = (x.as_num(), y.as_num()) {
                    if (m $op n) == $sense {
                        branch!($off);
                    }
                } else {
                    save!();
                    self.fuel = fuel;
                    match self.compare(Compare::$how, x, y) {
                        Ok(answer) => decided!(answer == $sense, $off),
                        Err(act) => flow!(self.drive(act)),
                    }
                }
            }};
        }
        // K[k] on the left: R[a] > K[k] is K[k] < R[a].
        macro_rules! equal {
            ($x:expr, $y:expr, $off:expr, $sense:expr) => {{
                let (x, y) = ($x, $y);
                let answer = if let (Some(m), Some(n)) = (x.as_num(), y.as_num()) {
                    m == n
                } else if x.identical(y) {
                    true
                } else if (!x.is_gc() || !y.is_gc()) && !x.is_rare() && !y.is_rare() {
                    false
                } else if let (Some(s), Some(t)) = (x.as_str(), y.as_str())
                    && !(s.is_long() && t.is_long())
                {
                    s.same(t)
                } else {
                    save!();
                    self.fuel = fuel;
                    match self.equal(x, y) {
                        Ok(answer) => decided!(answer == $sense, $off),
                        Err(act) => flow!(self.drive(act)),
                    }
                    continue;
                };
                if answer == $sense {
                    branch!($off);
                }
            }};
        }
        // A field's value from the slot that the instruction remembers.
        macro_rules! cached {
            ($t:expr, $key:expr, $ic:expr) => {{
                // SAFETY: rule 4.
                match unsafe { peek($t) }.nodes.get($ic as usize) {
                    Some(node) if node.key.identical($key) && !node.val.is_nil() => Some(node.val),
                    _ => None,
                }
            }};
        }
        // The results of a native or Lua call at `$src` go down to `$dst`; `base` must be fresh.
        macro_rules! give {
            ($dst:expr, $src:expr, $n:expr, $want:expr) => {{
                let (dst, src, n, want): (usize, usize, usize, i16) = ($dst, $src, $n, $want);
                if want == 1 {
                    let v = if n > 0 { self.st.stack[src] } else { Value::NIL };
                    self.st.stack[dst] = v;
                } else if want == nret::MULTI {
                    self.st.stack.copy_within(src..src + n, dst);
                    self.st.top = dst + n;
                } else {
                    let want = want as usize;
                    self.st.ensure(dst + want);
                    let k = n.min(want);
                    self.st.stack.copy_within(src..src + k, dst);
                    self.st.stack[dst + k..dst + want].fill(Value::NIL);
                }
            }};
        }

        // Enters a Lua function: `n` arguments lie above `func`. The frame's pc is saved.
        macro_rules! call_closure {
            ($callee:expr, $func:expr, $n:expr, $want:expr) => {{
                let (callee, func, n, want): (Closure<'gc>, usize, usize, i16) = ($callee, $func, $n, $want);
                if HOOKED && self.alert != 0 {
                    self.fuel = fuel;
                    flow!(self.drive(Act::Call { func, nargs: n, nret: want }));
                    continue;
                }
                let proto = Gc::as_ref(callee.proto);
                let need = func + 1 + n + proto.max_stack as usize;
                let frames = self.st.frames.len();
                if proto.vararg
                    || need > self.st.stack.len()
                    || need > MAX_STACK
                    || frames == self.st.frames.capacity()
                    || frames >= MAX_FRAMES
                {
                    self.fuel = fuel;
                    match self.push_lua(callee, func, n, want) {
                        Ok(()) => enter!(),
                        Err(error) => flow!(self.drive(Act::Throw(error))),
                    }
                    continue;
                }
                let params = proto.params as usize;
                base_i = func + 1;
                // SAFETY: there is room for one more frame, and `need` slots exist.
                unsafe {
                    base = self.st.stack.as_mut_ptr().add(base_i);
                    for i in n..params {
                        *base.add(i) = Value::NIL;
                    }
                    self.st.frames.as_mut_ptr().add(frames).write(Frame {
                        closure: Some(callee),
                        pc: 0,
                        base: base_i as u32,
                        func: func as u32,
                        nret: want,
                        kind: FrameKind::Lua,
                    });
                    self.st.frames.set_len(frames + 1);
                }
                closure = callee;
                pc = proto.code.as_ptr();
                consts = proto.consts.as_ptr();
            }};
        }

        enter!();
        loop {
            if HOOKED && self.watches() {
                self.fuel = fuel;
                if fuel < 1 && self.due.is_none() {
                    save!();
                    return Step::OutOfFuel;
                }
                save!();
                frame!().pc += 1;
                if let Some(act) = self.before_instruction() {
                    flow!(self.drive(act));
                    continue;
                }
            }
            // SAFETY: rule 1: code ends with a return. The operands are copied out before anything can patch the instruction.
            let op = unsafe { &*(*pc).as_ptr() };
            // SAFETY: as above.
            pc = unsafe { pc.add(1) };
            match *op {
                Op::Move { a, b } => SET!(a, R!(b)),
                Op::LoadK { a, k } => SET!(a, K!(k)),
                Op::LoadNil { a, n } => {
                    for i in 0..n as usize {
                        SET!(a as usize + i, Value::NIL);
                    }
                }
                Op::LoadBool { a, v } => SET!(a, Value::bool(v)),
                Op::GetUp { a, u } => SET!(a, U!(u)),
                Op::GetUpC { a, u } => {
                    let v = U!(u);
                    // (a value by itself where `debug.upvaluejoin` made another closure's a cell)
                    SET!(a, v.as_cell().map_or(v, |cell| cell.get()))
                }
                Op::SetUpC { u, a } => {
                    if let Some(cell) = U!(u).as_cell() {
                        cell.set(mc, R!(a))
                    }
                }
                Op::NewCell { a } => {
                    fuel -= 2;
                    SET!(a, Value::cell(Gc::new(mc, Lock::new(R!(a)))))
                }
                Op::GetCell { a, b } => {
                    if let Some(cell) = R!(b).as_cell() {
                        SET!(a, cell.get())
                    }
                }
                Op::SetCell { a, b } => {
                    if let Some(cell) = R!(a).as_cell() {
                        cell.set(mc, R!(b))
                    }
                }
                Op::GetGlobal { a, k, ic } => {
                    let key = K!(k);
                    let env = closure.env.get();
                    if let Some(v) = cached!(env, key, ic) {
                        SET!(a, v);
                        continue;
                    }
                    drive!(self.index_field(Value::table(env), key, base_i + a as usize))
                }
                Op::SetGlobal { a, k, ic } => {
                    let (key, v) = (K!(k), R!(a));
                    let env = closure.env.get();
                    // SAFETY: rule 4.
                    if let Some(node) = unsafe { poke(mc, env, v) }.nodes.get_mut(ic as usize) {
                        if node.key.identical(key) && !node.val.is_nil() {
                            node.val = v;
                            continue;
                        }
                    }
                    drive!(self.set_index(Value::table(env), key, v))
                }
                Op::GetTab { a, b, c } => {
                    let (o, key) = (R!(b), R!(c));
                    if let Some(t) = o.as_table() {
                        if let Some(n) = key.as_num() {
                            // SAFETY: rule 4.
                            let t = unsafe { peek(t) };
                            if let Some(v) = array_index(n).and_then(|i| t.arr.get(i)) {
                                if !v.is_nil() {
                                    SET!(a, *v);
                                    continue;
                                }
                            }
                        } else if let Some(s) = key.as_str().filter(|s| !s.is_long()) {
                            // SAFETY: rule 4.
                            let t = unsafe { peek(t) };
                            if let Some(at) = t.find_str(s) {
                                let v = t.nodes[at].val;
                                if !v.is_nil() {
                                    SET!(a, v);
                                    continue;
                                }
                            }
                        }
                    }
                    drive!(self.index(o, key, base_i + a as usize))
                }
                Op::GetInt { a, b, n } => {
                    let o = R!(b);
                    if let Some(t) = o.as_table() {
                        // SAFETY: rule 4.
                        if let Some(v) = unsafe { peek(t) }.arr.get((n as usize).wrapping_sub(1)) {
                            if !v.is_nil() {
                                SET!(a, *v);
                                continue;
                            }
                        }
                    }
                    drive!(self.index(o, Value::num(f64::from(n)), base_i + a as usize))
                }
                Op::GetField { a, b, k, ic } => {
                    let (o, key) = (R!(b), K!(k));
                    if let Some(t) = o.as_table() {
                        if let Some(v) = cached!(t, key, ic) {
                            SET!(a, v);
                            continue;
                        }
                    }
                    drive!(self.index_field(o, key, base_i + a as usize))
                }
                Op::SetTab { a, b, c } => {
                    let (o, key, v) = (R!(a), R!(b), R!(c));
                    if let (Some(t), Some(n)) = (o.as_table(), key.as_num()) {
                        // SAFETY: rule 4.
                        let t = unsafe { poke(mc, t, v) };
                        if let Some(i) = array_index(n) {
                            if let Some(slot) = t.arr.get_mut(i) {
                                if !slot.is_nil() && !v.is_nil() {
                                    *slot = v;
                                    continue;
                                }
                            } else if i == t.arr.len()
                                && i < t.arr.capacity()
                                && t.used == 0
                                && t.meta.is_none()
                                && !v.is_nil()
                            {
                                t.push(v);
                                fuel -= 1;
                                continue;
                            }
                        }
                    } else if let (Some(t), Some(s)) = (o.as_table(), key.as_str().filter(|s| !s.is_long())) {
                        // SAFETY: rule 4.
                        let t = unsafe { poke(mc, t, v) };
                        if let Some(at) = t.find_str(s) {
                            let node = &mut t.nodes[at];
                            if !node.val.is_nil() {
                                node.val = v;
                                continue;
                            }
                        }
                    }
                    drive!(self.set_index(o, key, v))
                }
                Op::SetInt { a, n, b } => {
                    let (o, v) = (R!(a), R!(b));
                    if let Some(t) = o.as_table() {
                        // SAFETY: rule 4.
                        if let Some(slot) = unsafe { poke(mc, t, v) }.arr.get_mut((n as usize).wrapping_sub(1)) {
                            if !slot.is_nil() && !v.is_nil() {
                                *slot = v;
                                continue;
                            }
                        }
                    }
                    drive!(self.set_index(o, Value::num(f64::from(n)), v))
                }
                Op::SetField { a, b, k, ic } => {
                    let (o, v, key) = (R!(a), R!(b), K!(k));
                    if let Some(t) = o.as_table() {
                        // SAFETY: rule 4.
                        let table = unsafe { poke(mc, t, v) };
                        match table.nodes.get_mut(ic as usize) {
                            Some(node) if node.key.identical(key) && !node.val.is_nil() => {
                                node.val = v;
                                continue;
                            }
                            Some(_) if table.meta.is_none() => {
                                // (the name is an object, too)
                                mc.backward_barrier(Gc::erase(t), None);
                                if table.insert_at(ic as usize, key, v) {
                                    continue;
                                }
                            }
                            _ => {}
                        }
                    }
                    drive!(self.set_index(o, key, v))
                }
                Op::SelfField { a, b, k, ic } => {
                    let (o, key) = (R!(b), K!(k));
                    SET!(a as usize + 1, o);
                    if let (Some(t), Some(name)) = (o.as_table(), key.as_str()) {
                        if let Some(v) = cached!(t, key, ic) {
                            SET!(a, v);
                            continue;
                        }
                        // SAFETY: rule 4.
                        let t = unsafe { peek(t) };
                        if t.meta.is_some() && t.find_str(name).is_none() {
                            if let Some(class) = self.cx.index_of(t.meta).as_table() {
                                if let Some(v) = cached!(class, key, ic) {
                                    SET!(a, v);
                                    continue;
                                }
                            }
                        }
                    } else if o.as_str().is_some() {
                        let strings = self.cx.root.type_metas.get().string;
                        if let Some(methods) = self.cx.index_of(strings).as_table() {
                            if let Some(v) = cached!(methods, key, ic) {
                                SET!(a, v);
                                continue;
                            }
                            if let Some(slot) = methods.borrow().find_str(key.as_str().expect("a field name")) {
                                if let Ok(slot) = u16::try_from(slot) {
                                    // SAFETY: the instruction just fetched.
                                    unsafe { (*pc.sub(1)).set(Op::SelfField { a, b, k, ic: slot }) };
                                }
                            }
                        }
                    }
                    drive!(self.index_field(o, key, base_i + a as usize))
                }
                Op::Add { a, b, c } => arith!(a, R!(b), R!(c), Add, |x, y| x + y),
                Op::Sub { a, b, c } => arith!(a, R!(b), R!(c), Sub, |x, y| x - y),
                Op::Mul { a, b, c } => arith!(a, R!(b), R!(c), Mul, |x, y| x * y),
                Op::Div { a, b, c } => arith!(a, R!(b), R!(c), Div, |x, y| x / y),
                Op::Mod { a, b, c } => arith!(a, R!(b), R!(c), Mod, modulo),
                Op::Pow { a, b, c } => arith!(a, R!(b), R!(c), Pow, power),
                Op::AddK { a, b, k } => arith!(a, R!(b), K!(k), Add, |x, y| x + y),
                Op::SubK { a, b, k } => arith!(a, R!(b), K!(k), Sub, |x, y| x - y),
                Op::MulK { a, b, k } => arith!(a, R!(b), K!(k), Mul, |x, y| x * y),
                Op::DivK { a, b, k } => arith!(a, R!(b), K!(k), Div, |x, y| x / y),
                Op::ModK { a, b, k } => arith!(a, R!(b), K!(k), Mod, modulo),
                Op::Unm { a, b } => {
                    let x = R!(b);
                    match x.as_num() {
                        Some(n) => SET!(a, Value::num_raw(-n)),
                        None => drive!(self.negate(x, base_i + a as usize)),
                    }
                }
                Op::Not { a, b } => SET!(a, Value::bool(!R!(b).truthy())),
                Op::Len { a, b } => {
                    let x = R!(b);
                    if let Some(t) = x.as_table() {
                        // SAFETY: rule 4.
                        let t = unsafe { peek(t) };
                        if t.meta.is_none() {
                            SET!(a, Value::num_raw(t.len() as f64));
                            continue;
                        }
                    } else if let Some(s) = x.as_str() {
                        SET!(a, Value::num_raw(s.len() as f64));
                        continue;
                    }
                    drive!(self.length(x, base_i + a as usize))
                }
                Op::Concat { a, b, n } => drive!(self.concat(base_i + b as usize, n as usize, base_i + a as usize)),
                Op::Jmp { off } => jump!(off),
                Op::Loop { off } => {
                    jump!(off);
                    burn!();
                }
                Op::JmpIf { a, off } => {
                    if R!(a).truthy() {
                        branch!(off)
                    }
                }
                Op::JmpIfNot { a, off } => {
                    if !R!(a).truthy() {
                        branch!(off)
                    }
                }
                Op::JmpLt { a, b, off } => compare!(R!(a), R!(b), off, Lt, <, true),
                Op::JmpNLt { a, b, off } => compare!(R!(a), R!(b), off, Lt, <, false),
                Op::JmpLe { a, b, off } => compare!(R!(a), R!(b), off, Le, <=, true),
                Op::JmpNLe { a, b, off } => compare!(R!(a), R!(b), off, Le, <=, false),
                Op::JmpEq { a, b, off } => equal!(R!(a), R!(b), off, true),
                Op::JmpNe { a, b, off } => equal!(R!(a), R!(b), off, false),
                Op::JmpLtK { a, k, off } => compare!(R!(a), K!(k), off, Lt, <, true),
                Op::JmpNLtK { a, k, off } => compare!(R!(a), K!(k), off, Lt, <, false),
                Op::JmpLeK { a, k, off } => compare!(R!(a), K!(k), off, Le, <=, true),
                Op::JmpNLeK { a, k, off } => compare!(R!(a), K!(k), off, Le, <=, false),
                Op::JmpGtK { a, k, off } => compare!(K!(k), R!(a), off, Lt, <, true),
                Op::JmpNGtK { a, k, off } => compare!(K!(k), R!(a), off, Lt, <, false),
                Op::JmpGeK { a, k, off } => compare!(K!(k), R!(a), off, Le, <=, true),
                Op::JmpNGeK { a, k, off } => compare!(K!(k), R!(a), off, Le, <=, false),
                Op::JmpEqK { a, k, off } => equal!(R!(a), K!(k), off, true),
                Op::JmpNeK { a, k, off } => equal!(R!(a), K!(k), off, false),
                Op::ForPrep { a, off } => {
                    let (i, limit, step) = (R!(a), R!(a as usize + 1), R!(a as usize + 2));
                    match (i.as_num(), limit.as_num(), step.as_num()) {
                        (Some(i), Some(limit), Some(step)) => {
                            if if step >= 0.0 { i <= limit } else { i >= limit } {
                                SET!(a as usize + 3, Value::num_raw(i));
                            } else {
                                jump!(off);
                            }
                        }
                        _ => {
                            save!();
                            match self.for_numbers(base_i + a as usize) {
                                // Strings became numbers: once more.
                                Ok(read) => {
                                    fuel -= read;
                                    // SAFETY: the instruction just fetched.
                                    pc = unsafe { pc.sub(1) };
                                    if HOOKED {
                                        self.due = Some(0);
                                    }
                                }
                                Err(error) => drive!(Act::Throw(error)),
                            }
                        }
                    }
                }
                Op::ForLoop { a, off } => {
                    // (ForPrep has made sure that they are numbers, and Lua cannot reach these registers)
                    let (i, limit, step) = (R!(a).bits(), R!(a as usize + 1).bits(), R!(a as usize + 2).bits());
                    let i = i + step;
                    if if step >= 0.0 { i <= limit } else { i >= limit } {
                        SET!(a, Value::num_raw(i));
                        SET!(a as usize + 3, Value::num_raw(i));
                        jump!(off);
                        burn!();
                    }
                }
                Op::ForUp { a, off } => {
                    let i = R!(a).bits() + R!(a as usize + 2).bits();
                    if i <= R!(a as usize + 1).bits() {
                        SET!(a, Value::num_raw(i));
                        SET!(a as usize + 3, Value::num_raw(i));
                        jump!(off);
                        burn!();
                    }
                }
                Op::ForInPrep { a, off } => {
                    SET!(a as usize + 3, Value::mark(0));
                    jump!(off);
                }
                Op::ForInCall { a, n } => {
                    let a = a as usize;
                    let f = R!(a);
                    if let (Some(row), Some(t)) = (f.as_row(), R!(a + 1).as_table()) {
                        if std::ptr::eq(row, &NEXT) {
                            // SAFETY: rule 4.
                            let t = unsafe { peek(t) };
                            let (control, hint) = (R!(a + 2), R!(a + 3));
                            if let Some(at) = t.resume_at(control, hint) {
                                match t.next_from(at) {
                                    Some((found, key, v)) => {
                                        // (what is empty is looked at, too)
                                        fuel -= ((found - at) / 32) as i64;
                                        SET!(a + 3, Value::mark(found));
                                        SET!(a + 4, key);
                                        if n >= 2 {
                                            SET!(a + 5, v);
                                            for i in 2..n as usize {
                                                SET!(a + 4 + i, Value::NIL);
                                            }
                                        }
                                    }
                                    None => {
                                        fuel -= (t.room().saturating_sub(at) / 32) as i64;
                                        SET!(a + 4, Value::NIL);
                                    }
                                }
                                continue;
                            }
                        } else if std::ptr::eq(row, &IPAIRS_STEP) && !(HOOKED && self.alert != 0) {
                            if let Some(i) = R!(a + 2).as_num() {
                                // SAFETY: rule 4.
                                let v = unsafe { peek(t) }.get_num(i + 1.0);
                                if v.is_nil() {
                                    SET!(a + 4, Value::NIL);
                                } else {
                                    SET!(a + 4, Value::num_raw(i + 1.0));
                                    if n >= 2 {
                                        SET!(a + 5, v);
                                        for i in 2..n as usize {
                                            SET!(a + 4 + i, Value::NIL);
                                        }
                                    }
                                }
                                continue;
                            }
                        }
                    }
                    let func = base_i + a + 4;
                    self.st.ensure(func + 3);
                    self.st.stack.copy_within(base_i + a..base_i + a + 3, func);
                    if let Some(callee) = f.as_closure() {
                        save!();
                        call_closure!(callee, func, 2, i16::from(n));
                        continue;
                    }
                    drive!(Act::Call { func, nargs: 2, nret: i16::from(n) })
                }
                Op::ForInLoop { a, off } => {
                    let first = R!(a as usize + 4);
                    if !first.is_nil() {
                        SET!(a as usize + 2, first);
                        jump!(off);
                        burn!();
                    }
                }
                Op::Call { a, nargs, nret } => {
                    let func = base_i + a as usize;
                    let n = if nargs == MULTI { self.st.top - func - 1 } else { nargs as usize };
                    let want = if nret == MULTI { nret::MULTI } else { i16::from(nret) };
                    let f = R!(a);
                    fuel -= 1;
                    if fuel < 0 {
                        // SAFETY: the instruction just fetched: it runs again.
                        pc = unsafe { pc.sub(1) };
                        save!();
                        self.fuel = fuel;
                        return Step::OutOfFuel;
                    }
                    save!();
                    if let Some(callee) = f.as_closure() {
                        call_closure!(callee, func, n, want);
                    } else if HOOKED && self.alert != 0 {
                        self.fuel = fuel;
                        flow!(self.drive(Act::Call { func, nargs: n, nret: want }));
                    } else if let Some(row) = f.as_any_row() {
                        self.fuel = fuel;
                        let (reply, nargs, nres) = self.run_row(row, func + 1, n);
                        if let Ok(Outcome::Return) = reply {
                            fuel = self.fuel;
                            give!(func, func + 1 + nargs, nres, want);
                            // SAFETY: rule 2.
                            base = unsafe { self.st.stack.as_mut_ptr().add(base_i) };
                        } else {
                            let act = self.replied(func + 1, nargs, nres, func, want, reply);
                            flow!(self.drive(act));
                        }
                    } else {
                        self.fuel = fuel;
                        flow!(self.drive(Act::Call { func, nargs: n, nret: want }));
                    }
                }
                Op::TailCall { a, nargs } => {
                    let from = base_i + a as usize;
                    let n = if nargs == MULTI { self.st.top - from - 1 } else { nargs as usize };
                    fuel -= 1;
                    if fuel < 0 {
                        // SAFETY: the instruction just fetched: it runs again.
                        pc = unsafe { pc.sub(1) };
                        save!();
                        self.fuel = fuel;
                        return Step::OutOfFuel;
                    }
                    // (after that question: this may be more than a slice brings)
                    fuel -= (n / 8) as i64;
                    save!();
                    self.fuel = fuel;
                    let callee = R!(a);
                    if !callee.is_function() && !self.cx.metamethod(callee, crate::context::Meta::Call).is_function() {
                        let error = self.call_error(callee, 0);
                        flow!(self.drive(Act::Throw(error)));
                        continue;
                    }
                    // The called function takes this one's place, natives as well, as in LuaJIT.
                    let f = *frame!();
                    let func = f.func as usize;
                    self.st.stack.copy_within(from..from + n + 1, func);
                    self.st.frames.pop();
                    match self.st.stack[func].as_closure() {
                        Some(callee) if !(HOOKED && self.alert != 0) => match self.push_lua(callee, func, n, f.nret) {
                            Ok(()) => {
                                enter!();
                            }
                            Err(error) => flow!(self.drive(Act::Throw(error))),
                        },
                        _ => flow!(self.drive(Act::Call { func, nargs: n, nret: f.nret })),
                    }
                }
                Op::Return0 {} => {
                    let f = *frame!();
                    if f.nret >= nret::MULTI {
                        self.st.frames.pop();
                        let dst = f.func as usize;
                        if f.nret == nret::MULTI {
                            self.st.top = dst;
                        } else {
                            for i in 0..f.nret as usize {
                                self.st.stack[dst + i] = Value::NIL;
                            }
                        }
                        enter!();
                    } else {
                        self.st.frames.pop();
                        self.fuel = fuel;
                        flow!(self.drive(Act::Results { dst: f.func as usize, nret: f.nret, src: base_i, n: 0 }));
                    }
                }
                Op::Return1 { a } => {
                    let f = *frame!();
                    let v = R!(a);
                    let n = self.st.frames.len();
                    // SAFETY: shorter by the frame that is there.
                    unsafe { self.st.frames.set_len(n - 1) };
                    if f.nret >= nret::MULTI {
                        let dst = f.func as usize;
                        // SAFETY: the callee's own slot, below its registers.
                        unsafe { *self.st.stack.as_mut_ptr().add(dst) = v };
                        if f.nret == nret::MULTI {
                            self.st.top = dst + 1;
                        } else {
                            for i in 1..f.nret as usize {
                                self.st.stack[dst + i] = Value::NIL;
                            }
                        }
                        enter!();
                    } else {
                        self.fuel = fuel;
                        let src = base_i + a as usize;
                        flow!(self.drive(Act::Results { dst: f.func as usize, nret: f.nret, src, n: 1 }));
                    }
                }
                Op::Return { a, n } => {
                    let f = *frame!();
                    let src = base_i + a as usize;
                    let n = if n == MULTI { self.st.top - src } else { n as usize };
                    self.st.frames.pop();
                    if f.nret >= nret::MULTI {
                        give!(f.func as usize, src, n, f.nret);
                        enter!();
                    } else {
                        self.fuel = fuel;
                        flow!(self.drive(Act::Results { dst: f.func as usize, nret: f.nret, src, n }));
                    }
                }
                Op::Vararg { a, n } => {
                    let f = *frame!();
                    let from = f.func as usize + 1 + closure.proto.params as usize;
                    let count = (f.base as usize).saturating_sub(from);
                    let dst = base_i + a as usize;
                    if n == MULTI {
                        fuel -= (count / 8) as i64;
                        self.st.ensure(dst + count);
                        self.st.stack.copy_within(from..from + count, dst);
                        self.st.top = dst + count;
                        // SAFETY: rule 2.
                        base = unsafe { self.st.stack.as_mut_ptr().add(base_i) };
                    } else {
                        for i in 0..n as usize {
                            SET!(a as usize + i, if i < count { self.st.stack[from + i] } else { Value::NIL });
                        }
                    }
                }
                Op::Closure { a, p } => {
                    fuel -= 4;
                    // SAFETY: rule 1.
                    let proto = unsafe { *closure.proto.protos.get_unchecked(p as usize) };
                    // SAFETY: rule 1: so many captures follow this instruction, which is not the last one.
                    let captures = unsafe { std::slice::from_raw_parts(pc, usize::from(proto.captures)) };
                    // SAFETY: as above.
                    pc = unsafe { pc.add(captures.len()) };
                    SET!(a, self.make_closure(closure, proto, captures, base_i));
                }
                Op::Capture { .. } => {}
                Op::NewTable { a, narr, nhash } => {
                    fuel -= 4;
                    SET!(a, Value::table(self.cx.table(narr as usize, nhash as usize)));
                }
                Op::SetList { a, n, start } => {
                    let first = base_i + a as usize + 1;
                    let n = if n == MULTI { self.st.top - first } else { n as usize };
                    if let Some(t) = R!(a).as_table() {
                        let mut t = t.borrow_mut(mc);
                        fuel -= (n / 8) as i64;
                        t.set_list(start as usize, &self.st.stack[first..first + n]);
                    }
                }
            }
        }
    }
}
