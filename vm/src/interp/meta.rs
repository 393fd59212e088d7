//! What operators do beyond numbers and plain tables: conversions, strings, 64-bit integers, metamethods.
//!
//! Each operation either ends here (the destination register is written) or becomes the call of a metamethod whose result the
//! instruction takes up in `finish`, found again by the frame's pc. One stack slot above the function's registers carries what
//! an instruction must remember meanwhile.
use gc_arena::Gc;

use super::Exec;
use super::drive::{Act, Flow, NATIVE_ROOM};
use crate::code::Op;
use crate::context::Meta;
use crate::native::{Outcome, to_number, write_text};
use crate::thread::nret;
use crate::value::{Int64Data, Kind, Value};
use crate::vm::Step;

/// Longer `__index` chains are taken for loops.
const MAX_CHAIN: usize = 100;

/// LuaJIT's longest string.
const MAX_STRING: usize = 0x7fff_ff00;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arith {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Lt,
    Le,
}

#[inline(always)]
pub(crate) fn arith(op: Arith, x: f64, y: f64) -> f64 {
    match op {
        Arith::Add => x + y,
        Arith::Sub => x - y,
        Arith::Mul => x * y,
        Arith::Div => x / y,
        Arith::Mod => crate::value::number::modulo(x, y),
        Arith::Pow => power(x, y),
    }
}

pub(crate) fn power(x: f64, y: f64) -> f64 {
    if y == 2.0 {
        x * x
    } else if y == 0.5 {
        // (pow(-0, 0.5) is 0 and pow(-inf, 0.5) is inf; sqrt differs)
        if x.is_finite() && x != 0.0 { x.sqrt() } else { x.powf(y) }
    } else {
        x.powf(y)
    }
}

impl<'gc> Exec<'_, 'gc> {
    fn put(&mut self, dst: usize, v: Value<'gc>) -> Act<'gc> {
        self.st.stack[dst] = v;
        self.complete()
    }

    /// The instruction is done; the slice, too, if it took more fuel than was left.
    fn complete(&mut self) -> Act<'gc> {
        if self.fuel < 0 { self.leave(Step::OutOfFuel) } else { Act::Go(Flow::Next) }
    }

    /// Calls a metamethod for the running instruction, which takes the result up in `finish`; `note` is kept for it.
    fn call_meta(&mut self, f: Value<'gc>, args: &[Value<'gc>], note: Value<'gc>) -> Act<'gc> {
        let at = self.st.end();
        let func = at + 1;
        self.st.ensure(func + 1 + args.len());
        self.st.stack[at] = note;
        self.st.stack[func] = f;
        self.st.stack[func + 1..func + 1 + args.len()].copy_from_slice(args);
        self.fuel -= 1;
        Act::Call { func, nargs: args.len(), nret: nret::FINISH }
    }

    /// `stack[dst] := handler(o, key)`. A native that answers at once, as most do, needs no `finish`.
    fn call_index(&mut self, handler: Value<'gc>, o: Value<'gc>, key: Value<'gc>, dst: usize) -> Act<'gc> {
        let Some(row) = handler.as_any_row().filter(|_| self.hooked == 0) else {
            return self.call_meta(handler, &[o, key], Value::NIL);
        };
        let func = self.st.end() + 1;
        self.st.ensure(func + 3 + NATIVE_ROOM);
        self.st.stack[func - 1..func + 3].copy_from_slice(&[Value::NIL, handler, o, key]);
        self.fuel -= 1;
        let (reply, nargs, nres) = self.run_row(row, func + 1, 2);
        match reply {
            Ok(Outcome::Return) => {
                let v = if nres > 0 { self.st.stack[func + 1 + nargs] } else { Value::NIL };
                self.put(dst, v)
            }
            reply => self.replied(func + 1, nargs, nres, func, nret::FINISH, reply),
        }
    }

    /// `stack[dst] := o[key]`.
    #[inline(never)]
    pub(super) fn index(&mut self, o: Value<'gc>, key: Value<'gc>, dst: usize) -> Act<'gc> {
        let mut at = o;
        let weight = key.weight() as i64;
        for _ in 0..MAX_CHAIN {
            let handler = match at.as_table() {
                Some(t) => {
                    self.fuel -= weight;
                    let (v, meta) = {
                        let t = t.borrow();
                        (t.get(key), t.meta)
                    };
                    if !v.is_nil() {
                        return self.put(dst, v);
                    }
                    let handler = self.cx.index_of(meta);
                    if handler.is_nil() {
                        return self.put(dst, Value::NIL);
                    }
                    handler
                }
                None => {
                    let handler = self.cx.metamethod(at, Meta::Index);
                    if handler.is_nil() {
                        return Act::Throw(self.index_error(at, key));
                    }
                    handler
                }
            };
            if handler.is_function() {
                return self.call_index(handler, at, key, dst);
            }
            at = handler;
        }
        Act::Throw(self.error(b"'__index' chain too long; possibly a loop"))
    }

    /// The same for a constant field name; the inline cache of the instruction learns the slot.
    #[inline(never)]
    pub(super) fn index_field(&mut self, o: Value<'gc>, key: Value<'gc>, dst: usize) -> Act<'gc> {
        if let (Some(t), Some(s)) = (o.as_table(), key.as_str()) {
            let found = t.borrow().find_str(s);
            if let Some(slot) = found {
                let node = t.borrow().nodes[slot];
                if !node.val.is_nil() {
                    if !node.key.identical(key) {
                        // The same bytes in another object: from now on the constant's, so that caches hit.
                        t.borrow_mut(self.cx.mc).nodes[slot].key = key;
                    }
                    self.learn(slot);
                    return self.put(dst, node.val);
                }
            } else {
                let meta = t.borrow().meta;
                let handler = self.cx.index_of(meta);
                if handler.is_nil() {
                    return self.put(dst, Value::NIL);
                }
                if handler.is_function() {
                    return self.call_index(handler, o, key, dst);
                }
                // One step along the chain: the usual class.
                if let Some(class) = handler.as_table() {
                    let class = class.borrow();
                    if let Some(slot) = class.find_str(s) {
                        self.learn(slot);
                        let v = class.nodes[slot].val;
                        if !v.is_nil() {
                            return self.put(dst, v);
                        }
                    }
                }
                return self.index(handler, key, dst);
            }
        }
        self.index(o, key, dst)
    }

    /// Patches the slot into the running instruction.
    fn learn(&self, slot: usize) {
        let Ok(slot) = u16::try_from(slot) else { return };
        let Some((at, op)) = self.instruction() else { return };
        let op = match op {
            Op::GetField { a, b, k, .. } => Op::GetField { a, b, k, ic: slot },
            Op::SetField { a, b, k, .. } => Op::SetField { a, b, k, ic: slot },
            Op::SelfField { a, b, k, .. } => Op::SelfField { a, b, k, ic: slot },
            Op::GetGlobal { a, k, .. } => Op::GetGlobal { a, k, ic: slot },
            Op::SetGlobal { a, k, .. } => Op::SetGlobal { a, k, ic: slot },
            _ => return,
        };
        if let Some(cell) = self.st.frames.last().and_then(|f| f.closure).and_then(|c| Gc::as_ref(c.proto).code.get(at))
        {
            cell.set(op);
        }
    }

    /// `o[key] := v`.
    #[inline(never)]
    pub(super) fn set_index(&mut self, o: Value<'gc>, key: Value<'gc>, v: Value<'gc>) -> Act<'gc> {
        let mut at = o;
        let weight = key.weight() as i64;
        for _ in 0..MAX_CHAIN {
            let handler = match at.as_table() {
                Some(t) => {
                    self.fuel -= weight;
                    let meta = t.borrow().meta;
                    let handler = match meta {
                        None => Value::NIL,
                        Some(_) => {
                            let handler = self.cx.meta_of(meta, Meta::NewIndex);
                            if handler.is_nil() || !t.borrow().get(key).is_nil() { Value::NIL } else { handler }
                        }
                    };
                    if handler.is_nil() {
                        if let Err(error) = self.cx.check_growth(t) {
                            return Act::Throw(error);
                        }
                        let set = match key.as_str() {
                            Some(_) => {
                                let slot = t.borrow_mut(self.cx.mc).set_hash(key, v);
                                if let Some(slot) = slot {
                                    let mut t = t.borrow_mut(self.cx.mc);
                                    if !t.nodes[slot].key.identical(key) {
                                        t.nodes[slot].key = key;
                                    }
                                    drop(t);
                                    self.learn(slot);
                                }
                                Ok(())
                            }
                            None => t.borrow_mut(self.cx.mc).set(key, v),
                        };
                        return match set {
                            Ok(()) => self.complete(),
                            Err(bad) => Act::Throw(self.error(bad.message().as_bytes())),
                        };
                    }
                    handler
                }
                None => {
                    let handler = self.cx.metamethod(at, Meta::NewIndex);
                    if handler.is_nil() {
                        return Act::Throw(self.index_error(at, key));
                    }
                    handler
                }
            };
            if handler.is_function() {
                return self.call_meta(handler, &[at, key, v], Value::NIL);
            }
            at = handler;
        }
        Act::Throw(self.error(b"'__newindex' chain too long; possibly a loop"))
    }

    #[inline(never)]
    pub(super) fn arith(&mut self, op: Arith, x: Value<'gc>, y: Value<'gc>, dst: usize) -> Act<'gc> {
        self.read_texts(x, y);
        if let (Some(a), Some(b)) = (to_number(x), to_number(y)) {
            return self.put(dst, Value::num(arith(op, a, b)));
        }
        if matches!(x.kind(), Kind::Int64(_)) || matches!(y.kind(), Kind::Int64(_)) {
            if let Some((a, b)) = Kind::int64_operands(x.kind(), y.kind()) {
                let r = arith64(op, a, b);
                let v = self.cx.int64(r.bits, r.unsigned);
                return self.put(dst, v);
            }
        }
        let event = match op {
            Arith::Add => Meta::Add,
            Arith::Sub => Meta::Sub,
            Arith::Mul => Meta::Mul,
            Arith::Div => Meta::Div,
            Arith::Mod => Meta::Mod,
            Arith::Pow => Meta::Pow,
        };
        match self.binary_handler(event, x, y) {
            Some(f) => self.call_meta(f, &[x, y], Value::NIL),
            None => Act::Throw(self.arith_error(x, y)),
        }
    }

    /// Pays for taking texts as numbers.
    fn read_texts(&mut self, x: Value<'gc>, y: Value<'gc>) {
        for text in [x, y].iter().filter_map(|v| v.as_str()) {
            self.fuel -= (text.len() / 32) as i64;
        }
    }

    fn binary_handler(&self, event: Meta, x: Value<'gc>, y: Value<'gc>) -> Option<Value<'gc>> {
        let f = self.cx.metamethod(x, event);
        let f = if f.is_nil() { self.cx.metamethod(y, event) } else { f };
        if f.is_nil() { None } else { Some(f) }
    }

    #[inline(never)]
    pub(super) fn negate(&mut self, x: Value<'gc>, dst: usize) -> Act<'gc> {
        self.read_texts(x, x);
        if let Some(n) = to_number(x) {
            return self.put(dst, Value::num(-n));
        }
        if let Kind::Int64(i) = x.kind() {
            let v = self.cx.int64(i.bits.wrapping_neg(), i.unsigned);
            return self.put(dst, v);
        }
        let f = self.cx.metamethod(x, Meta::Unm);
        if f.is_nil() { Act::Throw(self.arith_error(x, x)) } else { self.call_meta(f, &[x, x], Value::NIL) }
    }

    #[inline(never)]
    pub(super) fn length(&mut self, x: Value<'gc>, dst: usize) -> Act<'gc> {
        match x.kind() {
            Kind::Str(s) => return self.put(dst, Value::num(s.len() as f64)),
            Kind::Table(t) if t.borrow().meta.is_none() => {
                let n = t.borrow().len();
                return self.put(dst, Value::num(n as f64));
            }
            _ => {}
        }
        let f = self.cx.metamethod(x, Meta::Len);
        if !f.is_nil() {
            return self.call_meta(f, &[x, x], Value::NIL);
        }
        match x.as_table() {
            Some(t) => {
                let n = t.borrow().len();
                self.put(dst, Value::num(n as f64))
            }
            None => Act::Throw(self.length_error(x)),
        }
    }

    /// `x < y` or `x <= y` beyond numbers: the answer, or what has to be done for it.
    #[inline(never)]
    pub(super) fn compare(&mut self, how: Compare, x: Value<'gc>, y: Value<'gc>) -> Result<bool, Act<'gc>> {
        if let (Some(a), Some(b)) = (x.as_str(), y.as_str()) {
            self.fuel -= (a.len().min(b.len()) / 64) as i64;
            return Ok(if how == Compare::Lt { a.bytes() < b.bytes() } else { a.bytes() <= b.bytes() });
        }
        match (x.kind(), y.kind()) {
            (Kind::Num(a), Kind::Num(b)) => return Ok(if how == Compare::Lt { a < b } else { a <= b }),
            (Kind::Int64(_), _) | (_, Kind::Int64(_)) => {
                if let Some((a, b)) = Kind::int64_operands(x.kind(), y.kind()) {
                    let less = if a.unsigned || b.unsigned { a.bits < b.bits } else { (a.bits as i64) < b.bits as i64 };
                    return Ok(less || how == Compare::Le && a.bits == b.bits);
                }
            }
            _ => {}
        }
        if let Some(f) = self.binary_handler(if how == Compare::Lt { Meta::Lt } else { Meta::Le }, x, y) {
            return Err(self.call_meta(f, &[x, y], Value::FALSE));
        }
        if how == Compare::Le {
            // x <= y is not (y < x): the note says that the result is to be turned round.
            if let Some(f) = self.binary_handler(Meta::Lt, y, x) {
                return Err(self.call_meta(f, &[y, x], Value::TRUE));
            }
        }
        Err(Act::Throw(self.compare_error(x, y)))
    }

    /// `x == y` for values that are not raw-equal numbers.
    #[inline(never)]
    pub(super) fn equal(&mut self, x: Value<'gc>, y: Value<'gc>) -> Result<bool, Act<'gc>> {
        self.fuel -= x.weight().min(y.weight()) as i64;
        if x.raw_equal(y) {
            return Ok(true);
        }
        let (a, b) = match (x.kind(), y.kind()) {
            (Kind::Table(a), Kind::Table(b)) => (a.borrow().meta, b.borrow().meta),
            (Kind::Userdata(a), Kind::Userdata(b)) => (a.meta.get(), b.meta.get()),
            _ => return Ok(false),
        };
        let f = self.cx.meta_of(a, Meta::Eq);
        if f.is_nil() || !f.raw_equal(self.cx.meta_of(b, Meta::Eq)) {
            return Ok(false);
        }
        Err(self.call_meta(f, &[x, y], Value::NIL))
    }

    /// Concatenates `stack[from..from + n]` from the right into `stack[dst]`.
    #[inline(never)]
    pub(super) fn concat(&mut self, from: usize, mut n: usize, dst: usize) -> Act<'gc> {
        while n > 1 {
            // The longest run at the end that is all text becomes one string at once.
            let mut total = 0;
            let mut first = n;
            while first > 0 {
                let v = self.st.stack[from + first - 1];
                total += match v.kind() {
                    Kind::Str(s) => s.len(),
                    Kind::Num(_) => 16,
                    _ => break,
                };
                first -= 1;
            }
            if n - first >= 2 {
                if total > MAX_STRING {
                    return Act::Throw(self.error(b"string length overflow"));
                }
                if let Err(e) = self.cx.check_memory(total) {
                    return Act::Throw(e);
                }
                self.fuel -= (total / 32) as i64 + 4;
                let scratch = &self.cx.root.shared.scratch;
                let mut text = if total <= 1024 { scratch.take() } else { Vec::with_capacity(total) };
                for v in &self.st.stack[from + first..from + n] {
                    write_text(*v, &mut text);
                }
                let v = if total <= 1024 {
                    let v = self.cx.str(&text);
                    text.clear();
                    scratch.set(text);
                    v
                } else {
                    self.cx.str_vec(text)
                };
                self.st.stack[from + first] = v;
                n = first + 1;
                continue;
            }
            let (x, y) = (self.st.stack[from + n - 2], self.st.stack[from + n - 1]);
            return match self.binary_handler(Meta::Concat, x, y) {
                // The note says how many operands are left once the result has replaced these two.
                Some(f) => self.call_meta(f, &[x, y], Value::num((n - 1) as f64)),
                None => Act::Throw(self.concat_error(x, y, from + n - 2)),
            };
        }
        let v = self.st.stack[from];
        self.put(dst, v)
    }

    /// A metamethod has returned `v` to the running instruction.
    pub(super) fn finish(&mut self, v: Value<'gc>) -> Act<'gc> {
        let note = self.st.stack[self.st.end()];
        let Some((_, op)) = self.instruction() else { return Act::Go(Flow::Reload) };
        let Some(frame) = self.st.frames.last_mut() else { return Act::Go(Flow::Reload) };
        let base = frame.base as usize;
        let jump = |sense: bool, off: i32, pc: u32| {
            if (v.truthy() != note.truthy()) == sense { pc.wrapping_add_signed(off) } else { pc }
        };
        match op {
            Op::JmpLt { off, .. }
            | Op::JmpLe { off, .. }
            | Op::JmpEq { off, .. }
            | Op::JmpLtK { off, .. }
            | Op::JmpLeK { off, .. }
            | Op::JmpGtK { off, .. }
            | Op::JmpGeK { off, .. }
            | Op::JmpEqK { off, .. } => frame.pc = jump(true, off, frame.pc),
            Op::JmpNLt { off, .. }
            | Op::JmpNLe { off, .. }
            | Op::JmpNe { off, .. }
            | Op::JmpNLtK { off, .. }
            | Op::JmpNLeK { off, .. }
            | Op::JmpNGtK { off, .. }
            | Op::JmpNGeK { off, .. }
            | Op::JmpNeK { off, .. } => frame.pc = jump(false, off, frame.pc),
            Op::Concat { a, b, .. } => {
                let n = note.as_num().unwrap_or(1.0) as usize;
                let from = base + b as usize;
                self.st.stack[from + n - 1] = v;
                return match self.concat(from, n, base + a as usize) {
                    Act::Go(Flow::Next) => Act::Go(Flow::Reload),
                    other => other,
                };
            }
            other => {
                if let Some(a) = other.target() {
                    self.st.stack[base + a as usize] = v;
                }
            }
        }
        Act::Go(Flow::Reload)
    }
}

fn arith64(op: Arith, a: Int64Data, b: Int64Data) -> Int64Data {
    let unsigned = a.unsigned || b.unsigned;
    let (x, y) = (a.bits, b.bits);
    let bits = match op {
        Arith::Add => x.wrapping_add(y),
        Arith::Sub => x.wrapping_sub(y),
        Arith::Mul => x.wrapping_mul(y),
        Arith::Div if y == 0 => 1 << 63,
        Arith::Mod if y == 0 => 1 << 63,
        Arith::Div if unsigned => x / y,
        Arith::Div => (x as i64).wrapping_div(y as i64) as u64,
        Arith::Mod if unsigned => x % y,
        Arith::Mod => (x as i64).wrapping_rem(y as i64) as u64,
        Arith::Pow if unsigned || (y as i64) >= 0 => {
            let (mut result, mut base, mut e) = (1u64, x, y);
            while e > 0 {
                if e & 1 == 1 {
                    result = result.wrapping_mul(base);
                }
                base = base.wrapping_mul(base);
                e >>= 1;
            }
            result
        }
        Arith::Pow => match x as i64 {
            1 => 1,
            -1 => {
                if y & 1 == 0 {
                    1
                } else {
                    u64::MAX
                }
            }
            0 => i64::MAX as u64,
            _ => 0,
        },
    };
    Int64Data { bits, unsigned }
}
