//! Hooks (`debug.sethook`): a function that is called at calls, at returns, when a new line begins, and every so many instructions.
//!
//! There is one hook for the whole machine, as in LuaJIT. While one is set, slices run in the second instance of the loop
//! (`exec::<true>`), which comes here before each instruction, and calls come here because `Exec::alert` lies above all fuel; so
//! a machine without a hook pays nothing. `sethook` ends its slice: the next one takes the right instance.
//!
//! A hook runs as a Lua call on top of a frame of kind `Hook`, which no traceback shows; it may be interrupted and it may wait
//! like any other code, but it may not yield across that frame. While it runs, no other hook is called (`Exec::in_hook`; a light
//! thread keeps it between its slices).
use std::cell::{Cell, RefCell};

use gc_arena::Gc;

use super::Exec;
use super::drive::{Act, Flow};
use crate::code::{MULTI, Op};
use crate::context::Cx;
use crate::native::{Call, Outcome, Reply, Row, Sequence};
use crate::thread::{Frame, FrameKind, nret};
use crate::value::table::TableRef;
use crate::value::{Kind, Value};

/// What a hook is called for.
pub mod events {
    pub const CALL: u8 = 1;
    pub const RETURN: u8 = 2;
    pub const LINE: u8 = 4;
    pub const COUNT: u8 = 8;
}
use events::{CALL, COUNT, LINE, RETURN};

/// After the hook: the instruction it was called before, with the events in the low bits still to be told of.
const INSTRUCTION: i16 = 0x100;
/// The Lua function it was called at the start of.
const FUNCTION: i16 = 0x200;
/// The native it was called before.
const NATIVE: i16 = 0x300;
const KINDS: i16 = 0x300;

/// The machine's hook, but for the function, which is in the registry.
#[derive(Default)]
pub(crate) struct Hooks {
    pub mask: Cell<u8>,
    /// Instructions until the next count event, and from one to the next.
    left: Cell<i64>,
    every: Cell<i64>,
    trail: RefCell<Vec<Place>>,
}

/// Where the line event looked last, in one coroutine and below one native that calls back: back there, a line that goes on is no
/// new one. By address: compared, never followed.
struct Place {
    thread: usize,
    depth: usize,
    proto: usize,
    at: usize,
}

/// Coroutines that never go back to their resumer would pile up.
const MAX_TRAIL: usize = 256;
const FIELD: &str = "hook";

pub(crate) static NOTHING: Row =
    crate::native::row("nothing", |_| Ok(Outcome::Return), "nothing() -> nothing: what an ended slice goes on with");

impl<'gc> Cx<'gc> {
    /// The hook's function (nil: none), events and instructions between count events, as they were set.
    pub fn hook(self) -> (Value<'gc>, u8, i64) {
        let hooks = &self.root.shared.hooks;
        (self.registry().field(FIELD.as_bytes()), hooks.mask.get(), hooks.every.get())
    }
}

impl<'gc> Call<'_, 'gc> {
    /// Sets the hook; with no function or no events there is none. Ends the slice: it is to be returned.
    pub fn set_hook(&mut self, function: Value<'gc>, events: u8, every: i64) -> Reply<'gc> {
        struct Set;
        impl Sequence for Set {
            fn step<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
                call.clear();
                Ok(Outcome::Return)
            }
        }
        self.cx.set_field(self.cx.registry(), FIELD, function);
        let hooks = &self.cx.root.shared.hooks;
        hooks.mask.set(if function.is_nil() { 0 } else { events });
        hooks.left.set(every);
        hooks.every.set(every);
        hooks.trail.borrow_mut().clear();
        Ok(Outcome::Pause(Box::new(Set)))
    }
}

impl<'gc> Exec<'_, 'gc> {
    fn hooks(&self) -> &Hooks {
        &self.cx.root.shared.hooks
    }

    /// Whether instructions are to be looked at.
    #[inline(always)]
    pub(super) fn watches(&self) -> bool {
        self.hooked & (RETURN | LINE | COUNT) != 0 && !self.in_hook
    }

    /// A call while fuel or a hook has to be looked at.
    #[cold]
    pub(super) fn alerted(&mut self, func: usize, nargs: usize, nret: i16) -> Act<'gc> {
        if self.fuel < 0 {
            // Natives that call natives never reach the loop, where fuel is looked at.
            self.push_native(FrameKind::Pending, func + 1, nargs, func, nret);
            return self.leave(crate::vm::Step::OutOfFuel);
        }
        if self.in_hook || self.hooks().mask.get() & CALL == 0 {
            return self.call_unwatched(func, nargs, nret);
        }
        let after = match self.st.stack[func].kind() {
            Kind::Closure(c) => match self.push_lua(c, func, nargs, nret) {
                Ok(()) => FUNCTION,
                Err(error) => return Act::Throw(error),
            },
            Kind::Row(row) if std::ptr::eq(row, &NOTHING) => return self.call_unwatched(func, nargs, nret),
            Kind::Row(_) | Kind::Native(_) => {
                self.push_native(FrameKind::Native, func + 1, nargs, func, nret);
                NATIVE
            }
            // (a table or userdata that can be called: its metamethod is, next)
            _ => return self.call_unwatched(func, nargs, nret),
        };
        let at = self.st.end();
        if let Some(place) = self.hooks().trail.borrow_mut().last_mut() {
            place.proto = 0;
        }
        self.call_hook(at, "call", Value::NIL, after)
    }

    /// Before the instruction that the frame's `pc` is behind: the hook's call, if there is something to tell.
    pub(super) fn before_instruction(&mut self) -> Option<Act<'gc>> {
        let (at, op) = self.instruction()?;
        let told = self.due.take();
        let due = told.unwrap_or_else(|| self.events_at(at, op)) & self.hooks().mask.get();
        let (event, name) = match due {
            0 => return None,
            _ if due & COUNT != 0 => (COUNT, "count"),
            _ if due & LINE != 0 => (LINE, "line"),
            _ => (RETURN, "return"),
        };
        let line = match event {
            LINE => self.st.frames.last()?.line().map_or(Value::NIL, |line| Value::num(f64::from(line))),
            _ => Value::NIL,
        };
        let multi = matches!(
            op,
            Op::Call { nargs: MULTI, .. }
                | Op::TailCall { nargs: MULTI, .. }
                | Op::Return { n: MULTI, .. }
                | Op::SetList { n: MULTI, .. }
        );
        let end = self.st.end();
        let at = if multi { end.max(self.st.top) } else { end };
        Some(self.call_hook(at, name, line, INSTRUCTION | i16::from(due & !event)))
    }

    /// The events of an instruction that is about to run for the first time.
    fn events_at(&self, at: usize, op: Op) -> u8 {
        if matches!(op, Op::NewCell { .. }) {
            // (what a captured variable takes is no instruction of the program's)
            return 0;
        }
        let hooks = self.hooks();
        let mask = hooks.mask.get();
        let mut due = 0;
        if mask & (COUNT | LINE) != 0 {
            hooks.left.set(hooks.left.get().wrapping_sub(1));
            if mask & COUNT != 0 && hooks.left.get() <= 0 {
                hooks.left.set(hooks.every.get());
                due |= COUNT;
            }
        }
        if mask & LINE != 0 && self.is_new_line(at) {
            due |= LINE;
        }
        if mask & RETURN != 0 && matches!(op, Op::Return { .. } | Op::Return0 {} | Op::Return1 { .. }) {
            due |= RETURN;
        }
        due
    }

    /// As LuaJIT: after a jump back or from another function, and where the line is another one.
    fn is_new_line(&self, at: usize) -> bool {
        let Some(closure) = self.st.frames.last().and_then(|f| f.closure) else { return false };
        let (thread, depth) = (Gc::as_ptr(self.cur).addr(), self.st.sequences.len());
        let proto = Gc::as_ptr(closure.proto).addr();
        let mut trail = self.hooks().trail.borrow_mut();
        match trail.iter().rposition(|place| place.thread == thread && place.depth == depth) {
            Some(place) => trail.truncate(place + 1),
            None => {
                if trail.len() >= MAX_TRAIL {
                    trail.clear();
                }
                trail.push(Place { thread, depth, proto: 0, at: 0 });
            }
        }
        let Some(last) = trail.last_mut() else { return false };
        let info = closure.proto.info();
        let same = last.proto == proto && at > last.at && info.line(at) == info.line(last.at);
        (last.proto, last.at) = (proto, at);
        !same
    }

    fn call_hook(&mut self, at: usize, event: &str, line: Value<'gc>, after: i16) -> Act<'gc> {
        self.st.ensure(at + 8);
        self.st.stack[at] = self.cx.hook().0;
        self.st.stack[at + 1] = Value::str(self.cx.intern(event.as_bytes()));
        self.st.stack[at + 2] = line;
        let top = self.st.top as u32;
        self.st.frames.push(Frame {
            closure: None,
            pc: 2,
            base: at as u32,
            // (a list may be pending)
            func: top,
            nret: after,
            kind: FrameKind::Hook,
        });
        self.in_hook = true;
        self.fuel -= 2;
        Act::Call { func: at, nargs: 2, nret: nret::NATIVE }
    }

    /// The hook has returned; its frame has just been taken off.
    pub(super) fn hook_done(&mut self, frame: Frame<'gc>) -> Act<'gc> {
        if self.fuel < 1 {
            // The instruction must not be begun and put off: its events would come twice.
            let src = frame.base as usize;
            self.st.stack[src] = Value::row(&NOTHING);
            self.st.frames.push(frame);
            self.push_native(FrameKind::Pending, src + 1, 0, src, nret::NATIVE);
            return self.leave(crate::vm::Step::OutOfFuel);
        }
        self.in_hook = false;
        self.st.top = frame.func as usize;
        match frame.nret & KINDS {
            INSTRUCTION => {
                if let Some(f) = self.st.frames.last_mut() {
                    f.pc = f.pc.saturating_sub(1);
                }
                self.due = Some((frame.nret & !KINDS) as u8).filter(|_| self.hooked != 0);
                Act::Go(Flow::Reload)
            }
            FUNCTION => Act::Go(Flow::Reload),
            _ => match self.st.frames.pop() {
                Some(f) => self.call_unwatched(f.func as usize, f.pc as usize, f.nret),
                None => self.leave(crate::vm::Step::Gone),
            },
        }
    }

    /// Frames from `from` on are about to go, or their coroutine has failed: a hook among them is over.
    pub(super) fn leave_hook(&mut self, from: usize) {
        if self.in_hook && self.hook_above(from) {
            self.in_hook = false;
        }
    }

    /// Whether a hook is running in this coroutine, in the frames from `from` on.
    pub(super) fn hook_above(&self, from: usize) -> bool {
        self.st.frames.iter().skip(from).any(|f| f.kind == FrameKind::Hook)
    }
}
