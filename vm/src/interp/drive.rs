//! Calls, results, coroutine switches and errors, as one loop over what is to be done next.
//!
//! Nothing here recurses: a native that calls a function whose native calls a function ... is a chain of `Act`s. The interpreter
//! loop handles the common cases of calls and returns itself and comes here for the rest.

use std::cell::RefMut;

use super::Exec;
use super::hook::NOTHING;
use crate::native::{Call, Outcome, Reply, Row};
use crate::thread::{Frame, FrameKind, MAX_FRAMES, MAX_STACK, SPARE, Status, Thread, ThreadObj, nret};
use crate::value::{Closure, Kind, Value};
use crate::vm::Step;

/// So often one light thread may catch "not enough memory".
const MAX_MEMORY_ERRORS: u32 = 16;

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
        };
        let result = f(&mut call);
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
                if handler.is_nil() {
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
    fn check_overflow(&mut self, need: usize) -> Result<(), Value<'gc>> {
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

    /// Switches to a coroutine with the values at `src`; the top frame, of kind Resume or Wrap, waits for it.
    fn resume(&mut self, co: Option<Thread<'gc>>, src: usize, n: usize) -> Act<'gc> {
        let mc = self.cx.mc;
        let Some(co) = co else { return self.refuse_resume("cannot resume non-coroutine") };
        let mut next = co.borrow_mut(mc);
        if next.status != Status::Suspended {
            let words = match next.status {
                Status::Done | Status::Failed => "cannot resume dead coroutine",
                // A host with phases words it as OpenResty does.
                Status::Normal if self.lent.phase != 0 => "cannot resume normal coroutine",
                _ => "cannot resume running coroutine",
            };
            drop(next);
            return self.refuse_resume(words);
        }
        self.fuel -= 4;
        next.resumer = Some(self.cur);
        let waiting = next.state.frames.pop();
        // They are the results of the native call (of yield, most likely) whose frame this was.
        let at = waiting.as_ref().map_or(1, |frame| frame.base as usize + frame.pc as usize);
        self.switch(self.cur.borrow_mut(mc), Status::Normal, (co, next), src, n, at);
        match waiting {
            None => Act::Call { func: 0, nargs: n, nret: nret::THREAD },
            Some(frame) => self.over(frame.func as usize, frame.nret, at, n),
        }
    }

    #[cold]
    fn refuse_resume(&mut self, words: &str) -> Act<'gc> {
        let text = self.cx.str(words.as_bytes());
        self.resume_failed(text, false)
    }

    /// Goes on in `next`, with the `n` values at `src` of this coroutine's stack in its own at `at`; this one gets a status.
    #[inline(always)]
    fn switch(
        &mut self,
        mut last: RefMut<'gc, ThreadObj<'gc>>,
        status: Status,
        (to, mut next): (Thread<'gc>, RefMut<'gc, ThreadObj<'gc>>),
        src: usize,
        n: usize,
        at: usize,
    ) {
        next.status = Status::Running;
        next.state.ensure(at + n);
        next.state.stack[at..at + n].copy_from_slice(&self.st.stack[src..src + n]);
        last.status = status;
        self.st.change_over(&mut last.state, &mut next.state);
        self.cur = to;
    }

    /// The values become the results of the native call whose frame this was.
    fn hand_over(&mut self, frame: Frame<'gc>, values: &[Value<'gc>]) -> Act<'gc> {
        let src = frame.base as usize + frame.pc as usize;
        self.st.ensure(src + values.len());
        self.st.stack[src..src + values.len()].copy_from_slice(values);
        self.over(frame.func as usize, frame.nret, src, values.len())
    }

    /// A resume that did not succeed, in the resumer: false and the error, or for a wrap function the error itself (`plain`:
    /// as it is).
    fn resume_failed(&mut self, error: Value<'gc>, plain: bool) -> Act<'gc> {
        let Some(frame) = self.st.frames.pop() else { return Act::Throw(error) };
        if frame.kind == FrameKind::Wrap {
            // As LuaJIT: a message gets the position of the wrap function's caller.
            let error = match error.as_str() {
                Some(s) if !plain => {
                    let mut text = self.st.position(0);
                    // (up to a zero: it is a C string there)
                    text.extend(s.bytes().iter().take_while(|c| **c != 0));
                    self.cx.str_vec(text)
                }
                _ => error,
            };
            self.push_native(
                FrameKind::Native,
                frame.base as usize,
                frame.pc as usize,
                frame.func as usize,
                frame.nret,
            );
            return Act::Throw(error);
        }
        self.hand_over(frame, &[Value::FALSE, error])
    }

    fn co_yield(&mut self, base: usize, nargs: usize, dst: usize, nret: i16) -> Act<'gc> {
        let mc = self.cx.mc;
        if self.in_hook && self.hook_above(0) {
            let error = self.error(b"attempt to yield across C-call boundary");
            self.push_native(FrameKind::Native, base, nargs, dst, nret);
            return Act::Throw(error);
        }
        self.push_native(FrameKind::Native, base, nargs, dst, nret);
        let mut last = self.cur.borrow_mut(mc);
        let Some(resumer) = last.resumer.take() else {
            drop(last);
            // A light thread yields to the others.
            return self.leave(Step::Yield(crate::native::Until::NextTurn));
        };
        self.give_back(last, resumer, Status::Suspended, base, nargs)
    }

    /// The `n` values at `src` go to the resumer, for which this coroutine (`last`) is over for now or for good.
    fn give_back(
        &mut self,
        last: RefMut<'gc, ThreadObj<'gc>>,
        resumer: Thread<'gc>,
        status: Status,
        src: usize,
        n: usize,
    ) -> Act<'gc> {
        let mut next = resumer.borrow_mut(self.cx.mc);
        let Some(frame) = next.state.frames.pop() else { return self.leave(Step::Gone) };
        let at = frame.base as usize + frame.pc as usize;
        let lead = usize::from(frame.kind == FrameKind::Resume);
        self.switch(last, status, (resumer, next), src, n, at + lead);
        if lead == 1 {
            self.st.stack[at] = Value::TRUE;
        }
        self.over(frame.func as usize, frame.nret, at, lead + n)
    }

    fn back_to(&mut self, resumer: Thread<'gc>) {
        let mut parent = resumer.borrow_mut(self.cx.mc);
        parent.status = Status::Running;
        self.st = std::mem::take(&mut parent.state);
        drop(parent);
        self.cur = resumer;
    }

    /// A call is over. Where Lua registers want the results they go there at once; the rest is for `results`.
    #[inline(always)]
    fn over(&mut self, dst: usize, nret: i16, src: usize, n: usize) -> Act<'gc> {
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

    fn results(&mut self, dst: usize, nret: i16, src: usize, n: usize) -> Act<'gc> {
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
    fn native_results(&mut self, src: usize, n: usize) -> Act<'gc> {
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

    fn thread_done(&mut self, src: usize, n: usize) -> Act<'gc> {
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

    /// An error looks for a handler: in this coroutine, then in the one that resumed it.
    fn throw(&mut self, error: Value<'gc>) -> Act<'gc> {
        if error.identical(self.cx.root.no_memory) && self.memory_is_gone() {
            return self.abort(error);
        }
        let catches = |f: &Frame<'gc>| matches!(f.kind, FrameKind::Pcall | FrameKind::Xpcall | FrameKind::Handler);
        let handler = self.st.frames.iter().rposition(catches);
        let sequence = self.catching_sequence(handler);
        if let Some((frame, which)) = sequence {
            return self.fail_sequence(frame, which, error);
        }
        match handler {
            // (a Handler frame's `pc` names the xpcall that the handler belongs to)
            Some(at) => match self.st.frames[at].kind {
                FrameKind::Xpcall => self.handle(at, error),
                FrameKind::Handler => self.handle(self.st.frames[at].pc as usize, error),
                _ => self.unwind(at, error),
            },
            None => {
                let mc = self.cx.mc;
                let resumer = self.cur.borrow_mut(mc).resumer.take();
                match resumer {
                    None => self.fail_base(error),
                    Some(resumer) => {
                        self.leave_hook(0);
                        let mut child = self.cur.borrow_mut(mc);
                        child.state = std::mem::take(&mut self.st);
                        child.status = Status::Failed;
                        drop(child);
                        let failed = std::mem::replace(&mut self.cur, resumer);
                        self.back_to(resumer);
                        if self.st.frames.last().is_some_and(|f| f.kind == FrameKind::Wrap) {
                            self.cur.borrow_mut(mc).rare_mut().failed = Some(failed);
                        }
                        self.resume_failed(error, self.cx.root.shared.plain_wrap.get() & self.lent.phase != 0)
                    }
                }
            }
        }
    }

    /// Calls the handler of the xpcall at `at`, above the frames that failed, so that it sees them. An error while a handler runs is
    /// one in error handling, even in an xpcall of the handler's own; unless something was caught meanwhile: as in LuaJIT, where
    /// catching forgets that a handler runs.
    fn handle(&mut self, at: usize, error: Value<'gc>) -> Act<'gc> {
        if std::mem::replace(&mut self.cur.borrow_mut(self.cx.mc).handling, true) {
            let text = self.cx.str(b"error in error handling");
            return self.unwind(at, text);
        }
        let func = self.st.end();
        self.st.ensure(func + 2);
        self.st.stack[func] = self.st.stack[self.st.frames[at].base as usize];
        self.st.stack[func + 1] = error;
        self.push_native(FrameKind::Handler, func, at, func, nret::NATIVE);
        Act::Call { func, nargs: 1, nret: nret::NATIVE }
    }

    /// "not enough memory" can be caught, but not again and again: counts, unless much was freed since the last time.
    fn memory_is_gone(&mut self) -> bool {
        let (used, limit) = (self.cx.memory_used(), self.cx.root.shared.memory_limit.get());
        let mut base = self.base.borrow_mut(self.cx.mc);
        let (before, times) = base.rare_mut().memory_errors;
        let times = if used < before.saturating_sub(limit / 8) { 1 } else { times + 1 };
        base.rare_mut().memory_errors = (used, times);
        times > MAX_MEMORY_ERRORS
    }

    /// Ends the light thread with an error that nobody can catch.
    fn abort(&mut self, error: Value<'gc>) -> Act<'gc> {
        let mc = self.cx.mc;
        while let Some(resumer) = { self.cur.borrow_mut(mc).resumer.take() } {
            let mut child = self.cur.borrow_mut(mc);
            child.state = std::mem::take(&mut self.st);
            child.status = Status::Failed;
            drop(child);
            self.back_to(resumer);
        }
        self.fail_base(error)
    }

    /// The light thread itself has failed: the frames stay for a traceback; the error goes to the start of the stack.
    fn fail_base(&mut self, error: Value<'gc>) -> Act<'gc> {
        if self.st.stack.is_empty() {
            self.st.stack.push(error);
        }
        self.st.stack[0] = error;
        let mut t = self.cur.borrow_mut(self.cx.mc);
        t.status = Status::Failed;
        t.results = 1;
        self.leave(Step::Error)
    }

    /// Cuts back to a pcall or xpcall frame, which returns false and the value.
    fn unwind(&mut self, at: usize, value: Value<'gc>) -> Act<'gc> {
        let frame = self.st.frames[at];
        self.cut(at);
        let mut thread = self.cur.borrow_mut(self.cx.mc);
        thread.handling = false;
        if thread.rare().is_some_and(|rare| rare.failed.is_some()) {
            thread.rare_mut().failed = None;
        }
        drop(thread);
        let src = frame.base as usize + frame.pc as usize;
        self.st.ensure(src + 2);
        self.st.stack[src] = Value::FALSE;
        self.st.stack[src + 1] = value;
        self.over(frame.func as usize, frame.nret, src, 2)
    }

    /// Removes frames from `at` on, and their sequences.
    fn cut(&mut self, at: usize) {
        self.leave_hook(at);
        let sequences = self.st.frames[at..].iter().filter(|f| f.kind == FrameKind::Sequence).count();
        let keep = self.st.sequences.len().saturating_sub(sequences);
        self.st.sequences.truncate(keep);
        self.st.frames.truncate(at);
    }

    /// The topmost sequence above `handler` that wants to see errors: (frame, index among the sequences).
    fn catching_sequence(&self, handler: Option<usize>) -> Option<(usize, usize)> {
        let from = handler.map_or(0, |h| h + 1);
        let mut which = self.st.sequences.len();
        for at in (from..self.st.frames.len()).rev() {
            if self.st.frames[at].kind == FrameKind::Sequence {
                which -= 1;
                if self.st.sequences[which].catches() {
                    return Some((at, which));
                }
            }
        }
        None
    }

    fn fail_sequence(&mut self, at: usize, which: usize, error: Value<'gc>) -> Act<'gc> {
        let frame = self.st.frames[at];
        self.leave_hook(at);
        let sequence = self.st.sequences.swap_remove(which);
        self.st.sequences.truncate(which);
        self.st.frames.truncate(at);
        let (base, nargs) = (frame.base as usize, frame.pc as usize);
        let (reply, nargs, nres) = self.with_call(base, nargs, 0, |call| sequence.fail(call, error));
        self.replied(base, nargs, nres, frame.func as usize, frame.nret, reply)
    }
}
