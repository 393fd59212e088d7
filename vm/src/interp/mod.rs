//! The interpreter: `exec` is the loop, `drive` everything about calls, `meta` what operators do beyond numbers and plain
//! tables, `error` the words of runtime errors; what `drive` does at a switch and after an error is in `coroutines` and `unwind`.
mod coroutines;
mod drive;
mod error;
mod exec;
pub(crate) mod finalize;
pub(crate) mod hook;
mod made;
mod meta;
mod unwind;

use crate::context::Cx;
use crate::thread::{FrameKind, State, Status, Thread, ThreadId};
use crate::value::Value;
use crate::vm::{Lent, Step, Wake};
use drive::{Act, Flow};

/// The machine in motion: the running coroutine's state is here, not in its thread object.
pub(crate) struct Exec<'a, 'gc> {
    cx: Cx<'gc>,
    /// The light thread at the bottom.
    base: Thread<'gc>,
    cur: Thread<'gc>,
    st: State<'gc>,
    lent: Lent<'a>,
    fuel: i64,
    /// Why the slice ends, where `drive` said that it does.
    leaving: Option<Step>,
    /// The events of the hook that is set: which instance of the loop runs.
    hooked: u8,
    /// With less fuel than this, calls are looked at: 0, or more than there can be while a hook wants to know of them.
    alert: i64,
    /// A hook is running.
    in_hook: bool,
    /// The events that the next instruction's hook calls are still to tell of.
    due: Option<u8>,
}

/// Runs a light thread for one slice.
pub(crate) fn run<'gc>(cx: Cx<'gc>, id: ThreadId, wake: Wake, lent: Lent<'_>) -> Step {
    let Some(base) = cx.thread(id) else { return Step::Gone };
    if matches!(base.borrow().status, Status::Done | Status::Failed) {
        return Step::Gone;
    }
    let cur = base.borrow().active.unwrap_or(base);
    // A panic loses the state, and with it the thread: as it should be.
    let st = std::mem::take(&mut cur.borrow_mut(cx.mc).state);
    let fuel = *lent.fuel;
    let hooked = cx.root.shared.hooks.mask.get();
    let alert = if hooked & hook::events::CALL == 0 { 0 } else { i64::MAX };
    let was_in_hook = base.borrow().rare().is_some_and(|rare| rare.in_hook);
    let mut exec =
        Exec { cx, base, cur, st, lent, fuel, leaving: None, hooked, alert, in_hook: was_in_hook, due: None };
    let step = exec.enter(wake);
    *exec.lent.fuel = exec.fuel;
    let Exec { base, cur, st, in_hook, .. } = exec;
    cur.borrow_mut(cx.mc).state = st;
    let mut bottom = base.borrow_mut(cx.mc);
    bottom.active = Some(cur);
    if in_hook != was_in_hook {
        bottom.rare_mut().in_hook = in_hook;
    }
    step
}

impl<'gc> Exec<'_, 'gc> {
    fn enter(&mut self, wake: Wake) -> Step {
        let flow = if self.cur.borrow().is_fresh() {
            self.cur.borrow_mut(self.cx.mc).status = Status::Running;
            let nargs = self.st.top - 1;
            self.drive(Act::Call { func: 0, nargs, nret: crate::thread::nret::THREAD })
        } else {
            self.cur.borrow_mut(self.cx.mc).status = Status::Running;
            match self.st.frames.last() {
                // Waiting for the results of a native, which are to come from `wake`.
                Some(f) if f.kind == FrameKind::Native => self.wake(wake),
                Some(f) if f.kind == FrameKind::Pending => {
                    let f = *f;
                    self.st.frames.pop();
                    self.drive(Act::Call { func: f.func as usize, nargs: f.pc as usize, nret: f.nret })
                }
                _ if self.base.borrow().id.is_some()
                    && self.cx.root.shared.exhausted.get() == self.base.borrow().id =>
                {
                    self.cx.root.shared.exhausted.set(None);
                    self.drive(Act::Throw(self.cx.root.no_memory))
                }
                _ => finalize::begin(self),
            }
        };
        match flow {
            Flow::Leave => self.left(),
            _ if self.hooked == 0 => self.exec::<false>(),
            _ => self.exec::<true>(),
        }
    }

    /// (Not part of `exec`, which has better things to keep in registers.)
    #[cold]
    #[inline(never)]
    fn left(&mut self) -> Step {
        self.leaving.take().unwrap_or(Step::Gone)
    }

    fn wake(&mut self, wake: Wake) -> Flow {
        let Some(frame) = self.st.frames.pop() else {
            self.leaving = Some(Step::Gone);
            return Flow::Leave;
        };
        let (base, nargs) = (frame.base as usize, frame.pc as usize);
        let (dst, nret) = (frame.func as usize, frame.nret);
        let src = base + nargs;
        let mut n = 0;
        let mut push = |st: &mut State<'gc>, v: Value<'gc>| {
            st.ensure(src + n + 1);
            st.stack[src + n] = v;
            n += 1;
        };
        match wake {
            Wake::Go => {}
            Wake::Resume(mut parked) => {
                let (reply, nargs, nres) = self.with_call(base, nargs, 0, |call| parked.as_mut().finish(call));
                let act = self.replied(base, nargs, nres, dst, nret, reply);
                return self.drive(act);
            }
            Wake::Spawned(child) => {
                let v = self.cx.thread(child).map_or(Value::NIL, Value::thread);
                push(&mut self.st, v);
            }
            Wake::Finished(id) => {
                if let Some((ok, values)) = self.cx.thread(id).and_then(|t| self.cx.results_of(t)) {
                    push(&mut self.st, Value::bool(ok));
                    for v in values {
                        push(&mut self.st, v);
                    }
                    self.cx.bury(id);
                }
            }
            Wake::Failed(message) => {
                let error = self.error(message.as_bytes());
                return self.drive(Act::Throw(error));
            }
            Wake::Refused(message) => {
                push(&mut self.st, Value::NIL);
                let v = self.cx.str(message.as_bytes());
                push(&mut self.st, v);
            }
        }
        self.drive(Act::Results { dst, nret, src, n })
    }
}
