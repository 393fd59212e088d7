//! What becomes of an error: who catches it, and what is unwound on the way.
use super::Exec;
use super::drive::Act;
use crate::thread::{Frame, FrameKind, Status, nret};
use crate::value::Value;
use crate::vm::Step;

/// So often one light thread may catch "not enough memory".
const MAX_MEMORY_ERRORS: u32 = 16;

impl<'gc> Exec<'_, 'gc> {
    /// An error looks for a handler: in this coroutine, then in the one that resumed it.
    pub(super) fn throw(&mut self, error: Value<'gc>) -> Act<'gc> {
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
    pub(super) fn abort(&mut self, error: Value<'gc>) -> Act<'gc> {
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
    pub(super) fn fail_base(&mut self, error: Value<'gc>) -> Act<'gc> {
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
    pub(super) fn unwind(&mut self, at: usize, value: Value<'gc>) -> Act<'gc> {
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
