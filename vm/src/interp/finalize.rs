//! `__gc` of dead userdata, called between two slices of whatever runs then, but for a finalizer: they come one after the other.
//!
//! Each call is a coroutine of its own that is resumed once: if it yields, it is forgotten; its errors concern nobody here
//! (`collectgarbage` raises them, as LuaJIT does).
use super::Exec;
use super::drive::Flow;
use crate::native::{Call, Outcome, Reply, Row, Sequence, row};
use crate::thread::{FrameKind, Thread, nret};
use crate::value::Value;

/// `coroutine.resume`, for the machine's own use.
pub static RESUME: Row = row("resume", |_| Ok(Outcome::Resume), "resume(co, ...)");

/// Calls the finalizers that are due, one after the other. Argument slot 0 is free for the error to raise.
pub struct Finalizers {
    /// What the interrupted function's `top` was, if one was interrupted.
    top: Option<usize>,
}

impl Finalizers {
    /// For a native that wants the finalizers called now, and their errors.
    pub fn raising() -> Box<Finalizers> {
        Box::new(Finalizers { top: None })
    }
    pub fn next<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        call.clear();
        match call.cx.next_finalizer() {
            Some((f, object)) => {
                let co = call.cx.coroutine(f);
                co.borrow_mut(call.cx.mc).finalizes = true;
                for v in [Value::row(&RESUME), Value::thread(co), object] {
                    call.push(v);
                }
                Ok(Outcome::Call(self))
            }
            None => match self.top {
                Some(top) => {
                    call.state.top = top;
                    Ok(Outcome::Return)
                }
                None => call.ret(Value::num(0.0)),
            },
        }
    }
}

impl Sequence for Finalizers {
    fn step<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        if self.top.is_none() && call.results() > 1 && !call.result(0).truthy() {
            return Err(call.result(1));
        }
        self.next(call)
    }
}

/// Whether the coroutine, or one that waits for it, is there for a finalizer.
fn finalizes(thread: Thread<'_>) -> bool {
    std::iter::successors(Some(thread), |thread| thread.borrow().resumer).any(|thread| thread.borrow().finalizes)
}

/// At the start of a slice, a Lua function on top: finalizers first, then it goes on where it was.
pub(super) fn begin(exec: &mut Exec<'_, '_>) -> Flow {
    if exec.cx.root.pending.borrow().is_empty() || finalizes(exec.cur) {
        return Flow::Reload;
    }
    // (a list up to `top` may be pending: an interrupted call's arguments)
    let base = exec.st.end().max(exec.st.top) + 1;
    exec.st.ensure(base + 8);
    let sequence = Box::new(Finalizers { top: Some(exec.st.top) });
    let (reply, nargs, nres) = exec.with_call(base, 0, 0, |call| sequence.next(call));
    let act = exec.replied(base, nargs, nres, base - 1, 0, reply);
    exec.drive(act)
}

const _: () = assert!(nret::MULTI < 0 && FrameKind::Lua as u8 == 0, "a fixed number of results, 0, is no special case");
