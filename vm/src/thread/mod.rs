//! Coroutines as data: a stack of values, a stack of frames, no Rust stack.
//!
//! A light thread is a coroutine that the host started; a coroutine that it resumes sits on top of it, linked by `resumer`, and
//! the whole chain waits when its top waits.
//!
//! What must stay true: while a thread runs, its `State` is with the interpreter, not here; it comes back before the arena
//! closes. Slots of `stack` above what the frames use may hold stale values, never invalid ones.
use gc_arena::lock::RefLock;
use gc_arena::{Collect, Gc, Mutation};

use crate::native::Sequence;
use crate::value::{Closure, Table, Value};

pub type Thread<'gc> = Gc<'gc, RefLock<ThreadObj<'gc>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Collect)]
#[collect(require_static)]
pub enum Status {
    /// Not started, or it has yielded.
    Suspended,
    /// It, or a coroutine it has resumed, is on top of a light thread.
    Running,
    /// It has resumed another one.
    Normal,
    Done,
    Failed,
}

#[derive(Collect)]
#[collect(no_drop)]
pub struct ThreadObj<'gc> {
    pub(crate) state: State<'gc>,
    pub(crate) status: Status,
    /// Whom to go on with when this one yields or ends.
    pub(crate) resumer: Option<Thread<'gc>>,
    /// Of a light thread: the coroutine on top, when it is not itself.
    pub(crate) active: Option<Thread<'gc>>,
    /// The host's name for it, if it is a light thread.
    pub(crate) id: Option<ThreadId>,
    pub(crate) spawned: bool,
    /// Lua may have the thread as a value: it stays what it is when it has ended.
    pub(crate) exposed: bool,
    /// An error handler was called, and nothing was caught since: the next error is one in error handling.
    pub(crate) handling: bool,
    /// It was made to call a finalizer.
    pub(crate) finalizes: bool,
    /// When it has ended: so many results (or the error) are at the stack's start.
    pub(crate) results: u32,
    /// What few threads have.
    rare: Option<Box<Rare<'gc>>>,
}

#[derive(Collect, Default)]
#[collect(no_drop)]
pub(crate) struct Rare<'gc> {
    /// The coroutine whose error came through a wrap function and was not caught since: the traceback begins there.
    pub(crate) failed: Option<Thread<'gc>>,
    /// The values of `thread.exdata` and `thread.exdata2`.
    pub(crate) exdata: [Option<Value<'gc>>; 2],
    /// Of a light thread: bytes in use when it last ran out of memory, and how often it did.
    #[collect(require_static)]
    pub(crate) memory_errors: (usize, u32),
    /// Of a light thread: its slice ended in a hook.
    #[collect(require_static)]
    pub(crate) in_hook: bool,
    /// What `setfenv(0, t)` set: the environment of chunks loaded here, and of coroutines made here.
    pub(crate) env: Option<Table<'gc>>,
}

/// Names a light thread from outside the arena. Goes stale harmlessly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Collect)]
#[collect(require_static)]
pub struct ThreadId {
    pub(crate) slot: u32,
    pub(crate) generation: std::num::NonZeroU32,
}

impl ThreadId {
    /// Which place it has in the VM; places of threads that have ended are used again.
    pub fn slot(self) -> u32 {
        self.slot
    }
}

/// What runs: taken out of the thread while it does.
#[derive(Collect, Default)]
#[collect(no_drop)]
pub struct State<'gc> {
    pub(crate) stack: Vec<Value<'gc>>,
    pub(crate) frames: Vec<Frame<'gc>>,
    /// The native sequences of the frames of kind `Sequence`, in their order.
    #[collect(require_static)]
    pub(crate) sequences: Vec<Box<dyn Sequence>>,
    /// The end of a list whose length is known at run time only. Before the first call: of the function and its arguments.
    #[collect(require_static)]
    pub(crate) top: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Collect)]
#[collect(require_static)]
#[repr(u8)]
pub(crate) enum FrameKind {
    Lua,
    /// A native that waits or has yielded (or, while an error is on its way up, the one that raised it).
    Native,
    /// A native that has called a function and goes on with its results.
    Sequence,
    Pcall,
    Xpcall,
    /// An xpcall's handler runs above this; `pc` is the index of the xpcall's frame.
    Handler,
    /// `coroutine.resume`, `coroutine.wrap`: another coroutine runs.
    Resume,
    Wrap,
    /// A call that is still to be made, of the value below `base`: the slice ended before it.
    Pending,
    /// A hook's call, above what it interrupted: `base` is its function's slot, `func` the interrupted function's `top`, `nret`
    /// how it goes on (`interp/hook.rs`).
    Hook,
}

/// One activation. `func` is the stack slot of the called value, where the results go.
#[derive(Clone, Copy, Collect)]
#[collect(no_drop)]
pub(crate) struct Frame<'gc> {
    /// None for natives.
    pub closure: Option<Closure<'gc>>,
    /// The next instruction; natives: how many arguments there are.
    pub pc: u32,
    /// R[0]; natives: the first argument.
    pub base: u32,
    pub func: u32,
    /// How many results are wanted, or one of the constants of `nret`.
    #[collect(require_static)]
    pub nret: i16,
    pub kind: FrameKind,
}

/// What becomes of a call's results, where it is not a fixed number of registers.
pub(crate) mod nret {
    /// All of them; `top` is set.
    pub const MULTI: i16 = -1;
    /// The calling Lua instruction finishes its work with the first one (metamethods).
    pub const FINISH: i16 = -2;
    /// The frame below is a native's and knows.
    pub const NATIVE: i16 = -3;
    /// The coroutine ends.
    pub const THREAD: i16 = -4;
}

/// A stack deeper than this is a "stack overflow".
pub(crate) const MAX_STACK: usize = 1_000_000;
pub(crate) const MAX_FRAMES: usize = 200_000;
/// What an error handler may use on top.
pub(crate) const SPARE: usize = 2_000;

impl<'gc> ThreadObj<'gc> {
    /// A coroutine that will call `function` when it is first resumed.
    pub(crate) fn new(mc: &Mutation<'gc>, mut state: State<'gc>, function: Value<'gc>) -> Thread<'gc> {
        state.stack.push(function);
        state.top = 1;
        Gc::new(
            mc,
            RefLock::new(ThreadObj {
                state,
                status: Status::Suspended,
                resumer: None,
                active: None,
                id: None,
                spawned: false,
                exposed: false,
                handling: false,
                finalizes: false,
                results: 0,
                rare: None,
            }),
        )
    }
    /// Makes a thread that has ended, and that Lua has never seen, a fresh one that will call `function`. It has the stack that
    /// the last one has had.
    pub(crate) fn revive(&mut self, function: Value<'gc>) {
        self.status = Status::Suspended;
        self.resumer = None;
        self.active = None;
        self.rare = None;
        let stack = &mut self.state.stack;
        stack.resize(stack.capacity(), Value::NIL);
        self.state.ensure(1);
        self.state.stack[0] = function;
        self.state.top = 1;
    }
    /// The arguments of its first call.
    pub(crate) fn set_arguments(&mut self, args: &[Value<'gc>]) {
        let top = 1 + args.len();
        self.state.ensure(top);
        self.state.stack[1..top].copy_from_slice(args);
        self.state.top = top;
    }
    pub(crate) fn rare(&self) -> Option<&Rare<'gc>> {
        self.rare.as_deref()
    }
    /// To write to it; the barrier has been taken.
    pub(crate) fn rare_mut(&mut self) -> &mut Rare<'gc> {
        self.rare.get_or_insert_default()
    }
    pub fn status(&self) -> Status {
        self.status
    }
    pub fn id(&self) -> Option<ThreadId> {
        self.id
    }
    /// Whether it is, or was, a light thread.
    pub fn was_spawned(&self) -> bool {
        self.spawned
    }
    /// A light thread that has ended and was not buried yet.
    pub fn is_zombie(&self) -> bool {
        self.spawned && self.id.is_some() && matches!(self.status, Status::Done | Status::Failed)
    }
    /// Fresh: it has never run.
    pub(crate) fn is_fresh(&self) -> bool {
        self.status == Status::Suspended && self.state.frames.is_empty()
    }
}

impl<'gc> State<'gc> {
    /// An empty one, small: a program may have very many of them.
    pub(crate) fn small() -> State<'gc> {
        State { stack: Vec::with_capacity(8), frames: Vec::with_capacity(2), ..State::default() }
    }
    /// Empties it for another thread, if it is small enough to be kept for one.
    pub(crate) fn empty(&mut self) -> bool {
        let small = self.stack.capacity() <= 256 && self.frames.capacity() <= 64 && self.sequences.is_empty();
        if small {
            self.stack.clear();
            self.frames.clear();
            self.top = 0;
        }
        small
    }
    /// Makes sure that slots below `end` exist.
    #[inline(always)]
    pub(crate) fn ensure(&mut self, end: usize) {
        if end > self.stack.len() {
            self.grow(end);
        }
    }
    #[cold]
    #[inline(never)]
    fn grow(&mut self, end: usize) {
        let len = (end + end / 2).max(8);
        self.stack.reserve_exact(len - self.stack.len());
        self.stack.resize(len, Value::NIL);
    }
    /// This, the running coroutine's, goes to `last`, its empty place; what was in `next` takes over.
    ///
    /// Field by field: a copy of the whole would read lengths that have just been written together with their neighbours, and
    /// wait for the store.
    #[inline(always)]
    pub(crate) fn change_over(&mut self, last: &mut State<'gc>, next: &mut State<'gc>) {
        use std::mem::{replace, take};
        debug_assert!(last.stack.is_empty() && last.frames.is_empty() && last.sequences.is_empty());
        last.frames = replace(&mut self.frames, take(&mut next.frames));
        last.stack = replace(&mut self.stack, take(&mut next.stack));
        // (few have any)
        if !self.sequences.is_empty() || !next.sequences.is_empty() {
            last.sequences = replace(&mut self.sequences, take(&mut next.sequences));
        }
        last.top = replace(&mut self.top, take(&mut next.top));
    }
    /// The first slot that no frame uses.
    pub(crate) fn end(&self) -> usize {
        match self.frames.last() {
            None => 0,
            Some(f) => match f.closure {
                // (no list up to `top` is pending where a metamethod or a handler is called)
                Some(c) => f.base as usize + c.proto.max_stack as usize,
                None => f.base as usize + f.pc as usize + 1,
            },
        }
    }
}
