//! Calls and results (with coroutine switches and errors in their own files), as one loop over what is to be done next.
//!
//! Nothing here recurses: a native that calls a function whose native calls a function ... is a chain of `Act`s. The interpreter
//! loop handles the common cases of calls and returns itself and comes here for the rest.

use std::cell::Cell;

use super::Exec;
use super::hook::NOTHING;
use crate::native::{Call, Outcome, Reply, Row};
use crate::thread::{Frame, FrameKind, MAX_FRAMES, MAX_STACK, SPARE, Status, nret};
use crate::value::{Closure, Kind, Value};
use crate::vm::Step;

/// So many results a native can push without a look at the stack's size.
pub(super) const NATIVE_ROOM: usize = 8;

/// How the interpreter loop goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// With the next instruction of the same function (its registers may have moved).
    Next,
    /// With the top frame.
    Reload,
    /// Not at all: `Exec::leaving` says why.
    Leave,
}

/// What is to be done next.
pub(crate) enum Act<'gc> {
    /// Call the value at `func` with the `nargs` values above it.
    Call {
        func: usize,
        nargs: usize,
        nret: i16,
    },
    /// A call is over: `n` results at `src` go to `dst`.
    Results {
        dst: usize,
        nret: i16,
        src: usize,
        n: usize,
    },
    Throw(Value<'gc>),
    Go(Flow),
}

impl<'gc> Exec<'_, 'gc> {
    pub(crate) fn drive(&mut self, mut act: Act<'gc>) -> Flow {
        loop {
            act = match act {
                Act::Go(flow) => return flow,
                Act::Call { func, nargs, nret } if self.fuel < self.alert => self.alerted(func, nargs, nret),
                Act::Call { func, nargs, nret } => self.call(func, nargs, nret),
                Act::Results { dst, nret, src, n } => self.results(dst, nret, src, n),
                Act::Throw(error) => self.throw(error),
            }
        }
    }

    /// Ends the slice.
    pub(super) fn leave(&mut self, step: Step) -> Act<'gc> {
        self.leaving = Some(step);
        Act::Go(Flow::Leave)
    }

    /// Runs `f` with a native's view of its call; tells how many arguments (`set_len` may have changed it) and results there are.
    pub(crate) fn with_call<T>(
        &mut self,
        base: usize,
        nargs: usize,
        nres: usize,
        f: impl FnOnce(&mut Call<'_, 'gc>) -> T,
    ) -> (T, usize, usize) {
        let mut call = Call {
            cx: self.cx,
            state: &mut self.st,
            thread: self.cur,
            base,
            nargs,
            nres,
            host: self.lent.host,
            phase: self.lent.phase,
            fuel: &mut self.fuel,
            debt: Cell::new(0),
        };
        let result = f(&mut call);
        *call.fuel -= call.debt.get();
        (result, call.nargs, call.nres)
    }

    /// As `call`, out of the way.
    #[cold]
    #[inline(never)]
    pub(super) fn call_unwatched(&mut self, func: usize, nargs: usize, nret: i16) -> Act<'gc> {
        self.call(func, nargs, nret)
    }

    #[inline(always)]
    fn call(&mut self, func: usize, nargs: usize, nret: i16) -> Act<'gc> {
        match self.st.stack[func].kind() {
            Kind::Closure(c) => match self.push_lua(c, func, nargs, nret) {
                Ok(()) => Act::Go(Flow::Reload),
                Err(error) => Act::Throw(error),
            },
            Kind::Row(row) => self.call_row(row, func, nargs, nret),
            Kind::Native(f) => self.call_row(f.row, func, nargs, nret),
            _ => {
                let callee = self.st.stack[func];
                let handler = self.cx.metamethod(callee, crate::context::Meta::Call);
                // (one that would itself have to be called by a metamethod is none)
                if !handler.is_function() {
                    return Act::Throw(self.call_error(callee, nret));
                }
                // The called value becomes the first argument.
                self.st.ensure(func + nargs + 2);
                self.st.stack.copy_within(func..func + nargs + 1, func + 1);
                self.st.stack[func] = handler;
                self.fuel -= 1;
                Act::Call { func, nargs: nargs + 1, nret }
            }
        }
    }

    fn call_row(&mut self, row: &'static Row, func: usize, nargs: usize, nret: i16) -> Act<'gc> {
        let base = func + 1;
        let (reply, nargs, nres) = self.run_row(row, base, nargs);
        self.replied(base, nargs, nres, func, nret, reply)
    }

    /// Runs a native, if the host's phase allows it.
    #[inline(always)]
    pub(crate) fn run_row(&mut self, row: &'static Row, base: usize, nargs: usize) -> (Reply<'gc>, usize, usize) {
        if row.phases != 0 && row.phases & self.lent.phase == 0 {
            let refuse = self.cx.root.shared.refuse.get();
            let (error, nargs, _) = self.with_call(base, nargs, 0, |call| match refuse {
                Some(text) => call.error(text(row.phases, call.phase())),
                None => call.error("API disabled in this context"),
            });
            return (Err(error), nargs, 0);
        }
        self.st.ensure(base + nargs + NATIVE_ROOM);
        self.with_call(base, nargs, 0, row.native)
    }

    /// Enters a Lua function. Varargs stay below, the parameters are copied above them.
    #[inline]
    pub(crate) fn push_lua(&mut self, c: Closure<'gc>, func: usize, nargs: usize, nret: i16) -> Result<(), Value<'gc>> {
        let proto = c.proto;
        let params = proto.params as usize;
        let mut base = func + 1;
        let need = base + nargs + params + proto.max_stack as usize + 1;
        if need > self.st.stack.len() || self.st.frames.len() == self.st.frames.capacity() {
            self.cx.check_memory(need * size_of::<Value<'_>>() + self.st.frames.len() * 2 * size_of::<Frame<'_>>())?;
        }
        self.st.ensure(need);
        if need > MAX_STACK || self.st.frames.len() >= MAX_FRAMES {
            self.check_overflow(need)?;
        }
        if proto.vararg {
            base = func + 1 + nargs;
            for i in 0..params {
                self.st.stack[base + i] = if i < nargs { self.st.stack[func + 1 + i] } else { Value::NIL };
            }
        } else {
            for i in nargs..params {
                self.st.stack[base + i] = Value::NIL;
            }
        }
        self.st.frames.push(Frame {
            closure: Some(c),
            pc: 0,
            base: base as u32,
            func: func as u32,
            nret,
            kind: FrameKind::Lua,
        });
        Ok(())
    }

    #[cold]
    pub(super) fn check_overflow(&mut self, need: usize) -> Result<(), Value<'gc>> {
        let handling = self.st.frames.iter().rev().take(SPARE).any(|f| f.kind == FrameKind::Handler);
        let (stack, frames) =
            if handling { (MAX_STACK + SPARE * 50, MAX_FRAMES + SPARE) } else { (MAX_STACK, MAX_FRAMES) };
        if need > stack || self.st.frames.len() >= frames {
            let mut text = self.st.position(0);
            text.extend_from_slice(b"stack overflow");
            return Err(self.cx.str_vec(text));
        }
        Ok(())
    }

    pub(super) fn push_native(&mut self, kind: FrameKind, base: usize, nargs: usize, dst: usize, nret: i16) {
        self.st.frames.push(Frame { closure: None, pc: nargs as u32, base: base as u32, func: dst as u32, nret, kind });
    }

    pub(super) fn replied(
        &mut self,
        base: usize,
        nargs: usize,
        nres: usize,
        dst: usize,
        nret: i16,
        reply: Reply<'gc>,
    ) -> Act<'gc> {
        let src = base + nargs;
        match reply {
            Ok(Outcome::Return) => self.over(dst, nret, src, nres),
            Err(error) => {
                // For the traceback: the native is part of it.
                self.push_native(FrameKind::Native, base, nargs, dst, nret);
                Act::Throw(error)
            }
            Ok(Outcome::Call(sequence)) => {
                if self.st.frames.len() >= MAX_FRAMES {
                    if let Err(e) = self.check_overflow(src) {
                        return Act::Throw(e);
                    }
                }
                self.push_native(FrameKind::Sequence, base, nargs, dst, nret);
                self.st.sequences.push(sequence);
                self.fuel -= 2;
                Act::Call { func: src, nargs: nres.saturating_sub(1), nret: nret::NATIVE }
            }
            Ok(Outcome::TailCall) => {
                self.st.stack.copy_within(src..src + nres, dst);
                self.fuel -= 1;
                Act::Call { func: dst, nargs: nres.saturating_sub(1), nret }
            }
            Ok(Outcome::Pcall) => {
                if self.st.frames.len() >= MAX_FRAMES {
                    if let Err(e) = self.check_overflow(src) {
                        return Act::Throw(e);
                    }
                }
                self.push_native(FrameKind::Pcall, base, nargs, dst, nret);
                self.fuel -= 2;
                Act::Call { func: base, nargs: nargs - 1, nret: nret::NATIVE }
            }
            Ok(Outcome::Xpcall) => {
                self.push_native(FrameKind::Xpcall, base, nargs, dst, nret);
                self.st.stack.swap(base, base + 1);
                self.fuel -= 2;
                Act::Call { func: base + 1, nargs: nargs - 2, nret: nret::NATIVE }
            }
            Ok(Outcome::Park(parked)) => {
                self.push_native(FrameKind::Native, base, nargs, dst, nret);
                self.leave(Step::Park(parked))
            }
            Ok(Outcome::Yield(until)) => {
                self.push_native(FrameKind::Native, base, nargs, dst, nret);
                self.leave(Step::Yield(until))
            }
            Ok(Outcome::Pause(sequence)) => {
                self.push_native(FrameKind::Sequence, base, nargs, dst, nret);
                self.st.sequences.push(sequence);
                self.st.ensure(src + 1);
                // Nothing above is in use: it must not keep anything alive.
                self.st.stack[src..].fill(Value::NIL);
                self.st.stack[src] = Value::row(&NOTHING);
                self.push_native(FrameKind::Pending, src + 1, 0, src, nret::NATIVE);
                self.leave(Step::OutOfFuel)
            }
            Ok(Outcome::Exit) => self.leave(Step::Exit),
            Ok(Outcome::Resume) => {
                let co = self.st.stack[base].as_thread();
                self.push_native(FrameKind::Resume, base, nargs, dst, nret);
                self.resume(co, base + 1, nargs - 1)
            }
            Ok(Outcome::Wrap) => {
                let co = match self.st.stack[dst].kind() {
                    Kind::Native(f) => f.upvalues.first().and_then(|v| v.get().as_thread()),
                    _ => None,
                };
                self.push_native(FrameKind::Wrap, base, nargs, dst, nret);
                self.resume(co, base, nargs)
            }
            Ok(Outcome::CoYield) => self.co_yield(base, nargs, dst, nret),
        }
    }

    /// A call is over. Where Lua registers want the results they go there at once; the rest is for `results`.
    #[inline(always)]
    pub(super) fn over(&mut self, dst: usize, nret: i16, src: usize, n: usize) -> Act<'gc> {
        if nret < nret::MULTI {
            return Act::Results { dst, nret, src, n };
        }
        if nret == nret::MULTI {
            self.st.ensure(dst + n);
            self.st.stack.copy_within(src..src + n, dst);
            self.st.top = dst + n;
        } else {
            let wanted = nret as usize;
            self.st.ensure(dst + wanted);
            for i in 0..wanted {
                self.st.stack[dst + i] = if i < n { self.st.stack[src + i] } else { Value::NIL };
            }
        }
        Act::Go(Flow::Reload)
    }

    pub(super) fn results(&mut self, dst: usize, nret: i16, src: usize, n: usize) -> Act<'gc> {
        match nret {
            nret::FINISH => {
                let v = if n > 0 { self.st.stack[src] } else { Value::NIL };
                self.finish(v)
            }
            nret::THREAD => self.thread_done(src, n),
            nret::NATIVE => self.native_results(src, n),
            _ => self.over(dst, nret, src, n),
        }
    }

    /// Results for the native whose frame is on top.
    pub(super) fn native_results(&mut self, src: usize, n: usize) -> Act<'gc> {
        let Some(frame) = self.st.frames.pop() else { return self.leave(Step::Gone) };
        let (base, nargs) = (frame.base as usize, frame.pc as usize);
        let (dst, nret) = (frame.func as usize, frame.nret);
        match frame.kind {
            FrameKind::Pcall | FrameKind::Xpcall => {
                // The results lie above the slot of the called function: true goes right before them.
                let at = base.max(dst + 1);
                self.st.ensure(at + n + 1);
                self.st.stack.copy_within(src..src + n, at);
                self.st.stack[at - 1] = Value::TRUE;
                self.over(dst, nret, at - 1, n + 1)
            }
            FrameKind::Sequence => {
                let at = base + nargs;
                self.st.ensure(at + n);
                self.st.stack.copy_within(src..src + n, at);
                let Some(sequence) = self.st.sequences.pop() else { return self.leave(Step::Gone) };
                let (reply, nargs, nres) = self.with_call(base, nargs, n, |call| sequence.step(call));
                if let Ok(Outcome::Call(sequence)) = reply {
                    // Once more, as sort and gsub do.
                    self.push_native(FrameKind::Sequence, base, nargs, dst, nret);
                    self.st.sequences.push(sequence);
                    self.fuel -= 2;
                    return Act::Call { func: base + nargs, nargs: nres.saturating_sub(1), nret: nret::NATIVE };
                }
                self.replied(base, nargs, nres, dst, nret, reply)
            }
            FrameKind::Handler => {
                let v = if n > 0 { self.st.stack[src] } else { Value::NIL };
                self.unwind(frame.pc as usize, v)
            }
            FrameKind::Hook => self.hook_done(frame),
            _ => self.leave(Step::Gone),
        }
    }

    pub(super) fn thread_done(&mut self, src: usize, n: usize) -> Act<'gc> {
        let mc = self.cx.mc;
        let mut last = self.cur.borrow_mut(mc);
        match last.resumer.take() {
            None => {
                self.st.stack.copy_within(src..src + n, 0);
                self.st.stack.truncate(n);
                last.status = Status::Done;
                last.results = n as u32;
                self.leave(Step::Done)
            }
            Some(resumer) => {
                let over = self.cur;
                let act = self.give_back(last, resumer, Status::Done, src, n);
                let state = std::mem::take(&mut over.borrow_mut(mc).state);
                self.cx.recycle(state);
                act
            }
        }
    }
}
