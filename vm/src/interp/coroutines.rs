//! Coroutines: from one to the other and back.
use std::cell::RefMut;

use super::Exec;
use super::drive::Act;
use crate::thread::{Frame, FrameKind, Status, Thread, ThreadObj, nret};
use crate::value::Value;
use crate::vm::Step;

impl<'gc> Exec<'_, 'gc> {
    /// Switches to a coroutine with the values at `src`; the top frame, of kind Resume or Wrap, waits for it.
    pub(super) fn resume(&mut self, co: Option<Thread<'gc>>, src: usize, n: usize) -> Act<'gc> {
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
    pub(super) fn switch(
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
    pub(super) fn hand_over(&mut self, frame: Frame<'gc>, values: &[Value<'gc>]) -> Act<'gc> {
        let src = frame.base as usize + frame.pc as usize;
        self.st.ensure(src + values.len());
        self.st.stack[src..src + values.len()].copy_from_slice(values);
        self.over(frame.func as usize, frame.nret, src, values.len())
    }

    /// A resume that did not succeed, in the resumer: false and the error, or for a wrap function the error itself (`plain`:
    /// as it is).
    pub(super) fn resume_failed(&mut self, error: Value<'gc>, plain: bool) -> Act<'gc> {
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

    pub(super) fn co_yield(&mut self, base: usize, nargs: usize, dst: usize, nret: i16) -> Act<'gc> {
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
    pub(super) fn give_back(
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

    pub(super) fn back_to(&mut self, resumer: Thread<'gc>) {
        let mut parent = resumer.borrow_mut(self.cx.mc);
        parent.status = Status::Running;
        self.st = std::mem::take(&mut parent.state);
        drop(parent);
        self.cur = resumer;
    }
}
