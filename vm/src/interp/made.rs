//! What instructions of the loop leave to others: a closure to be made, a numeric loop's texts to be read.
use std::cell::Cell;

use gc_arena::Gc;
use gc_arena::lock::Lock;

use super::Exec;
use crate::code::{Cap, Op};
use crate::value::function::ClosureObj;
use crate::value::{Closure, Proto, Value};

impl<'gc> Exec<'_, 'gc> {
    /// A closure of `proto`, made by a function whose registers begin at `base`.
    #[inline(never)]
    pub(super) fn make_closure(
        &self,
        maker: Closure<'gc>,
        proto: Proto<'gc>,
        captures: &[Cell<Op>],
        base: usize,
    ) -> Value<'gc> {
        let mc = self.cx.mc;
        let upvalues = captures.iter().map(|capture| {
            Lock::new(match capture.get() {
                Op::Capture { cap: Cap::Reg(r), .. } => self.st.stack[base + usize::from(r)],
                Op::Capture { cap: Cap::Up(u), .. } => maker.upvalues[usize::from(u)].get(),
                _ => Value::NIL,
            })
        });
        let upvalues = upvalues.collect();
        let made = Gc::new(mc, ClosureObj { proto, env: Lock::new(maker.env.get()), upvalues });
        for (at, capture) in captures.iter().enumerate() {
            if let Op::Capture { cap: Cap::Itself, .. } = capture.get() {
                ClosureObj::set_upvalue(made, mc, at, Value::closure(made));
            }
        }
        Value::closure(made)
    }

    /// A numeric loop's values were not all numbers: strings are converted, others are an error. Tells the fuel that took.
    #[cold]
    pub(super) fn for_numbers(&mut self, at: usize) -> Result<i64, Value<'gc>> {
        let mut read = 0;
        for (i, what) in ["initial value", "limit", "step"].into_iter().enumerate() {
            read += self.st.stack[at + i].as_str().map_or(0, |text| text.len() / 32);
            match crate::native::to_number(self.st.stack[at + i]) {
                Some(n) => self.st.stack[at + i] = Value::num(n),
                None => return Err(self.error(format!("'for' {what} must be a number").as_bytes())),
            }
        }
        Ok(read as i64)
    }
}
