//! Looking at the call stack: positions in messages, tracebacks, `debug.getinfo`.
use super::Call;
use crate::code::chunk_id;
use crate::code::names::{NameKind, function_name};
use crate::thread::{Frame, FrameKind, State};
use crate::value::{Closure, Value};

/// One activation, as the debug library shows it.
#[derive(Clone)]
pub struct FrameInfo<'gc> {
    pub function: Value<'gc>,
    pub closure: Option<Closure<'gc>>,
    /// -1 for natives.
    pub line: i64,
    pub name: Option<(NameKind, Vec<u8>)>,
    /// Where what it was called with begins; for `getlocal`, as the next two.
    pub first: usize,
    /// Where its registers are: extra arguments lie between.
    pub base: usize,
    /// Where the next activation begins, and with it the end of this one's slots.
    pub end: usize,
    pub pc: usize,
}

impl<'gc> Frame<'gc> {
    /// The instruction that runs (a frame's pc is the next one).
    fn at(&self) -> usize {
        (self.pc as usize).saturating_sub(1)
    }
    pub(crate) fn line(&self) -> Option<u32> {
        let closure = self.closure?;
        if self.pc == 0 {
            // (a call hook looks)
            return Some(closure.proto.info().line_defined);
        }
        closure.proto.info().line(self.at())
    }
    fn info(&self, state: &State<'gc>, below: Option<&Frame<'gc>>, above: Option<&Frame<'gc>>) -> FrameInfo<'gc> {
        let own_end = match self.closure {
            Some(c) => self.base + u32::from(c.proto.max_stack),
            None => self.base + self.pc,
        };
        let end = above.map_or(own_end, |f| if f.kind == FrameKind::Hook { f.base } else { f.func });
        let name = below.and_then(|b| {
            let closure = b.closure?;
            function_name(&closure.proto, b.at())
        });
        FrameInfo {
            function: state.stack.get(self.func as usize).copied().unwrap_or(Value::NIL),
            closure: self.closure,
            line: self.line().map_or(-1, i64::from),
            name,
            first: if self.closure.is_some() { self.func as usize + 1 } else { self.base as usize },
            base: self.base as usize,
            end: end.min(own_end) as usize,
            pc: self.at(),
        }
    }
}

impl<'gc> State<'gc> {
    /// The index of the frame `level` calls below the top one. The machine's own notes among the frames do not count.
    fn frame_at(&self, level: usize) -> Option<usize> {
        let own = |f: &Frame<'_>| matches!(f.kind, FrameKind::Handler | FrameKind::Pending | FrameKind::Hook);
        (0..self.frames.len()).rev().filter(|at| !own(&self.frames[*at])).nth(level)
    }
    /// The activation `level` calls below the top, 0 being the top frame.
    pub(crate) fn level(&self, level: usize) -> Option<FrameInfo<'gc>> {
        let at = self.frame_at(level)?;
        let below = at.checked_sub(1).and_then(|i| self.frames.get(i));
        self.frames.get(at).map(|f| f.info(self, below, self.frames.get(at + 1)))
    }
    /// `chunk:line: ` of a frame counted from the top (0), empty for natives.
    pub(crate) fn position(&self, level: usize) -> Vec<u8> {
        let Some(at) = self.frame_at(level) else { return Vec::new() };
        let frame = &self.frames[at];
        match (frame.closure, frame.line()) {
            (Some(c), Some(line)) => {
                let mut text = chunk_id(c.proto.info().source);
                text.extend_from_slice(format!(":{line}: ").as_bytes());
                text
            }
            _ => Vec::new(),
        }
    }
    /// The lines of a traceback, each begun by a newline and a tab; from a level on. `own`: so many levels (a running native) lie
    /// above the frames.
    pub(crate) fn traceback(&self, level: usize, own: usize, out: &mut Vec<u8>) {
        let seen =
            |at: &usize| !matches!(self.frames[*at].kind, FrameKind::Handler | FrameKind::Pending | FrameKind::Hook);
        let shown: Vec<usize> = (0..self.frames.len()).rev().filter(seen).collect();
        let count = shown.len() + own;
        let mut skipped = false;
        for (nth, at) in (own..).zip(shown).skip_while(|(nth, _)| *nth < level) {
            // As LuaJIT: the first 12 levels and the last 10 of more than 23.
            if nth >= 12 && nth + 10 < count && count > 23 {
                if !skipped {
                    out.extend_from_slice(b"\n\t...");
                    skipped = true;
                }
                continue;
            }
            let below = at.checked_sub(1).and_then(|i| self.frames.get(i));
            write_frame(&self.frames[at].info(self, below, None), out);
        }
    }
}

pub(crate) fn write_frame(frame: &FrameInfo<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\n\t");
    match frame.closure {
        Some(c) => {
            out.extend_from_slice(&chunk_id(c.proto.info().source));
            out.push(b':');
            if frame.line >= 0 {
                out.extend_from_slice(format!("{}:", frame.line).as_bytes());
            }
        }
        None => out.extend_from_slice(b"[C]:"),
    }
    match (&frame.name, frame.closure) {
        (Some((_, name)), _) => {
            out.extend_from_slice(b" in function '");
            out.extend_from_slice(name);
            out.push(b'\'');
        }
        (None, Some(c)) if c.proto.info().line_defined == 0 => out.extend_from_slice(b" in main chunk"),
        (None, Some(c)) => {
            out.extend_from_slice(b" in function <");
            out.extend_from_slice(&chunk_id(c.proto.info().source));
            out.extend_from_slice(format!(":{}>", c.proto.info().line_defined).as_bytes());
        }
        (None, None) => match frame.function.as_row() {
            Some(row) => {
                out.extend_from_slice(format!(" in function '{}'", row.name).as_bytes());
            }
            None => out.extend_from_slice(b" in ?"),
        },
    }
}

impl<'gc> Call<'_, 'gc> {
    /// `chunk:line: ` of the function at a level as luaL_where counts: 0 is this native, 1 its caller.
    pub fn position(&self, level: usize) -> Vec<u8> {
        match level.checked_sub(1) {
            Some(l) => self.state.position(l),
            None => Vec::new(),
        }
    }
    /// The activation at a level: 0 is this native itself, 1 its caller.
    pub fn level(&self, level: usize) -> Option<FrameInfo<'gc>> {
        self.owe(level.min(self.state.frames.len()) / 32);
        match level.checked_sub(1) {
            Some(0) => self.state.level(0).map(|info| FrameInfo { end: info.end.min(self.base - 1), ..info }),
            Some(l) => self.state.level(l),
            None => Some(FrameInfo {
                function: self.state.stack[self.base - 1],
                closure: None,
                line: -1,
                // (by its own name, unless an operator called it)
                name: self.state.frames.last().and_then(|f| {
                    let named = function_name(&f.closure?.proto, f.at())?;
                    (named.0 == NameKind::Metamethod).then_some(named)
                }),
                first: self.base,
                base: self.base,
                end: self.base + self.nargs,
                pc: 0,
            }),
        }
    }
    /// A register of an activation of this coroutine.
    pub fn stack_slot(&self, at: usize) -> Value<'gc> {
        let v = self.state.stack.get(at).copied().unwrap_or(Value::NIL);
        v.as_cell().map_or(v, |c| c.get())
    }
    pub fn set_stack_slot(&mut self, at: usize, v: Value<'gc>) {
        if let Some(slot) = self.state.stack.get_mut(at) {
            match slot.as_cell() {
                Some(cell) => cell.set(self.cx.mc, v),
                None => *slot = v,
            }
        }
    }
    /// `stack traceback:` and its lines, from a level on (0: this native).
    pub fn traceback(&self, level: usize) -> Vec<u8> {
        self.owe(self.state.frames.len() / 32);
        let mut out = b"stack traceback:".to_vec();
        if level == 0 {
            if let Some(info) = self.level(0) {
                write_frame(&info, &mut out);
            }
        }
        self.state.traceback(level, 1, &mut out);
        out
    }
}

/// The traceback of a coroutine that does not run now.
pub fn traceback_of(thread: crate::thread::Thread<'_>, level: usize) -> Vec<u8> {
    let mut out = b"stack traceback:".to_vec();
    thread.borrow().state.traceback(level, 0, &mut out);
    out
}

/// The coroutine in which the error began that came to this one through a wrap function.
pub fn failed_in<'gc>(thread: crate::thread::Thread<'gc>) -> Option<crate::thread::Thread<'gc>> {
    thread.borrow().rare().and_then(|rare| rare.failed)
}

/// An activation of a coroutine that does not run now, counted from its top.
pub fn level_of<'gc>(thread: crate::thread::Thread<'gc>, level: usize) -> Option<FrameInfo<'gc>> {
    thread.borrow().state.level(level)
}

/// A register of a coroutine that does not run now.
pub fn slot_of<'gc>(thread: crate::thread::Thread<'gc>, at: usize) -> Value<'gc> {
    let v = thread.borrow().state.stack.get(at).copied().unwrap_or(Value::NIL);
    v.as_cell().map_or(v, |c| c.get())
}

/// Assigns a register of a coroutine that does not run now.
pub fn set_slot_of<'gc>(cx: crate::context::Cx<'gc>, thread: crate::thread::Thread<'gc>, at: usize, v: Value<'gc>) {
    if let Some(slot) = thread.borrow_mut(cx.mc).state.stack.get_mut(at) {
        match slot.as_cell() {
            Some(cell) => cell.set(cx.mc, v),
            None => *slot = v,
        }
    }
}
