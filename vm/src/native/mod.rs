//! How Rust functions look to Lua, and Lua to them.
//!
//! A native is a [`Row`] in a static table. It sees its arguments through a [`Call`], pushes results, and says with its
//! [`Outcome`] what happens next. What it cannot do at once (call a function, wait) it returns as data: a [`Sequence`] or a
//! [`Wait`]; GC values that must survive stay in its window of the Lua stack, so neither holds any.
use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::context::Cx;
use crate::thread::{State, Thread, ThreadId};
use crate::value::{Closure, Kind, NativeFn, Str, Table, Userdata, Value};

mod arguments;
pub mod basic;
mod frames;

pub use arguments::{to_number, write_text};
pub use frames::{FrameInfo, failed_in, level_of, set_slot_of, slot_of, traceback_of};

/// What a native returns; the error is a Lua value.
pub type Reply<'gc> = Result<Outcome, Value<'gc>>;
pub type Native = for<'a, 'gc> fn(&mut Call<'a, 'gc>) -> Reply<'gc>;

/// One native function. `phases` is a mask that means something to the host only.
pub struct Row {
    pub name: &'static str,
    pub native: Native,
    /// Legal in these phases; `Lent::phase` is compared with it. 0: everywhere.
    pub phases: u32,
    /// Signature and purpose, one line.
    pub doc: &'static str,
}

impl Row {
    /// What tells it apart from the others in a text, for this process: LuaJIT numbers its functions, rows just have a place.
    pub(crate) fn number(&'static self) -> usize {
        (std::ptr::from_ref(self).addr() / align_of::<Row>()) & 0x00ff_ffff
    }
}

/// A row that is legal everywhere.
pub const fn row(name: &'static str, native: Native, doc: &'static str) -> Row {
    Row { name, native, phases: 0, doc }
}

/// What happens when a native has returned.
pub enum Outcome {
    /// The pushed values are the results.
    Return,
    /// Call the first pushed value with the others; the sequence goes on with its results.
    Call(Box<dyn Sequence>),
    /// Call the first pushed value with the others; its results are this native's.
    TailCall,
    /// Wait for the outside world.
    Park(Parked),
    /// Wait for something in this VM.
    Yield(Until),
    /// End the slice, so that the collector can run; the sequence goes on in the next one, without results.
    Pause(Box<dyn Sequence>),
    /// End the whole run of this light thread, without a chance for any pcall: the host knows why.
    Exit,
    /// pcall: argument 0 is called with the others, errors are caught.
    Pcall,
    /// xpcall: argument 0 is called with those from 2 on; argument 1 handles errors.
    Xpcall,
    /// coroutine.resume: argument 0, a thread, is resumed with the others.
    Resume,
    /// The same for a coroutine.wrap function: the thread is upvalue 0, errors go through.
    Wrap,
    /// coroutine.yield with all arguments.
    CoYield,
}

/// What a light thread may wait for inside its VM.
#[derive(Debug)]
pub enum Until {
    /// The others have had their turn.
    NextTurn,
    /// The child has run until it waited or ended.
    Spawned(ThreadId),
    /// One of these has finished.
    Finished(Vec<ThreadId>),
}

/// A native's second half: called with the results of the function it called. That one may yield, wait and fail like any other.
///
/// ```
/// use vm::{Call, Outcome, Reply, Row, Sequence, Value, row};
///
/// static NATIVES: &[Row] = &[row("sum", sum, "sum(f) -> f(1) + f(2) + ... up to its first nil")];
///
/// /// What is summed up so far, and the next argument. (Lua values stay in the window of the call: here `f`, as argument 0.)
/// struct Sum(f64, f64);
///
/// impl Sum {
///     fn ask<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
///         call.push(call.arg(0)); // the function, then its arguments
///         call.push(Value::num(self.1));
///         Ok(Outcome::Call(self))
///     }
/// }
///
/// impl Sequence for Sum {
///     fn step<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
///         let Some(n) = call.result(0).as_num() else {
///             call.clear();
///             return call.ret(Value::num(self.0));
///         };
///         call.clear();
///         (self.0, self.1) = (self.0 + n, self.1 + 1.0);
///         self.ask(call)
///     }
/// }
///
/// fn sum<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
///     call.callable(0)?;
///     Box::new(Sum(0.0, 1.0)).ask(call)
/// }
/// # let vm = vm::Vm::new();
/// # let main = vm.enter(|cx| {
/// #     cx.library("", NATIVES);
/// #     let main = cx.load(b"return sum(function(i) if i < 5 then return i * i end end)", b"=t", cx.globals());
/// #     cx.stash(Value::closure(main.map_err(|e| cx.raw_tostring(e)).unwrap()))
/// # });
/// # let (id, mut fuel) = (vm.start(&main), 1000);
/// # assert!(matches!(vm.run(id, vm::Wake::Go, vm::Lent { host: &mut (), phase: 0, fuel: &mut fuel }), vm::Step::Done));
/// # assert_eq!(vm.enter(|cx| cx.thread(id).and_then(|t| cx.results_of(t)).and_then(|r| r.1[0].as_num())), Some(30.0));
/// ```
pub trait Sequence: 'static {
    /// `call` shows the native's own arguments, and the results as [`Call::result`]; what it pushes replaces them.
    /// Returning `Outcome::Call(self)` goes on.
    fn step<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc>;

    /// The function raised an error. By default it goes on its way.
    fn fail<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>, error: Value<'gc>) -> Reply<'gc> {
        let _ = call;
        Err(error)
    }
    /// Whether `fail` wants to be asked.
    fn catches(&self) -> bool {
        false
    }
}

/// One wait: polled outside the arena, finished inside it. The future, its output and the native's second half share one
/// allocation, and the output keeps its Rust type. Cancelling is dropping.
pub trait Wait {
    /// For error messages, profiles and the status page.
    fn what(&self) -> What;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
    fn finish<'gc>(self: Pin<&mut Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc>;
}
pub type Parked = Pin<Box<dyn Wait>>;

/// What a parked thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Sleep,
    Connect,
    Read,
    Write,
    Resolve,
    Handshake,
    Semaphore,
    Subrequest,
    Body,
    Flush,
    Process,
    Event,
    Other,
}

impl What {
    /// Every kind, in the order of their numbers.
    pub const ALL: [What; 13] = [
        What::Sleep,
        What::Connect,
        What::Read,
        What::Write,
        What::Resolve,
        What::Handshake,
        What::Semaphore,
        What::Subrequest,
        What::Body,
        What::Flush,
        What::Process,
        What::Event,
        What::Other,
    ];

    pub fn name(self) -> &'static str {
        match self {
            What::Sleep => "sleep",
            What::Connect => "connect",
            What::Read => "read",
            What::Write => "write",
            What::Resolve => "resolve",
            What::Handshake => "handshake",
            What::Semaphore => "semaphore",
            What::Subrequest => "subrequest",
            What::Body => "body",
            What::Flush => "flush",
            What::Process => "process",
            What::Event => "event",
            What::Other => "other",
        }
    }
}

struct Waiting<F: Future, T> {
    what: What,
    future: Option<F>,
    output: Option<F::Output>,
    then: Option<T>,
}

impl<F, T> Wait for Waiting<F, T>
where
    F: Future,
    T: for<'a, 'gc> FnOnce(&mut Call<'a, 'gc>, F::Output) -> Reply<'gc>,
{
    fn what(&self) -> What {
        self.what
    }
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `future` is pinned with the struct: it is never moved, only dropped in place by `set(None)`; the other
        // fields are never pinned.
        let this = unsafe { self.get_unchecked_mut() };
        let Some(future) = &mut this.future else { return Poll::Ready(()) };
        // SAFETY: as above.
        let polled = unsafe { Pin::new_unchecked(&mut *future) }.poll(cx);
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(output) => {
                this.future = None;
                this.output = Some(output);
                Poll::Ready(())
            }
        }
    }
    fn finish<'gc>(self: Pin<&mut Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        // SAFETY: nothing pinned is touched.
        let this = unsafe { self.get_unchecked_mut() };
        let output = this.output.take().expect("finish comes after poll said Ready");
        let then = this.then.take().expect("finish comes once");
        then(call, output)
    }
}

impl Outcome {
    /// Ends the slice, so that a requested collection runs; then calls the finalizers that are due, whose errors are raised.
    /// The result is 0.
    pub fn collect() -> Outcome {
        Outcome::Pause(crate::interp::finalize::Finalizers::raising())
    }
    /// Waits for a future outside the arena; `then` makes Lua values of its output.
    pub fn park<'gc, F, T>(what: What, future: F, then: T) -> Reply<'gc>
    where
        F: Future + 'static,
        T: for<'a, 'g> FnOnce(&mut Call<'a, 'g>, F::Output) -> Reply<'g> + 'static,
    {
        Ok(Outcome::Park(Box::pin(Waiting { what, future: Some(future), output: None, then: Some(then) })))
    }
}

/// A native's view of its call.
pub struct Call<'a, 'gc> {
    pub cx: Cx<'gc>,
    pub(crate) state: &'a mut State<'gc>,
    /// The coroutine that runs.
    pub(crate) thread: Thread<'gc>,
    pub(crate) base: usize,
    pub(crate) nargs: usize,
    pub(crate) nres: usize,
    pub(crate) host: &'a mut dyn Any,
    pub(crate) phase: u32,
    pub(crate) fuel: &'a mut i64,
    /// Fuel that looking at arguments and frames took: it is paid when the native returns.
    pub(crate) debt: Cell<i64>,
}

impl<'a, 'gc> Call<'a, 'gc> {
    /// How many arguments there are.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.nargs
    }
    pub fn is_empty(&self) -> bool {
        self.nargs == 0
    }
    /// An argument, counting from 0; nil beyond the last one.
    #[inline(always)]
    pub fn arg(&self, i: usize) -> Value<'gc> {
        if i < self.nargs { self.state.stack[self.base + i] } else { Value::NIL }
    }
    /// Overwrites an argument slot (it must exist): a place for a value that a sequence needs later.
    pub fn set_arg(&mut self, i: usize, v: Value<'gc>) {
        if i < self.nargs {
            self.state.stack[self.base + i] = v;
        }
    }
    /// Cuts or extends (with nil) the arguments to `n`, before anything was pushed: more slots for a sequence.
    pub fn set_len(&mut self, n: usize) {
        debug_assert!(self.nres == 0);
        self.state.ensure(self.base + n);
        for i in self.nargs..n {
            self.state.stack[self.base + i] = Value::NIL;
        }
        self.nargs = n;
    }
    /// Adds a result (or, for `Outcome::Call`, the function, then its arguments).
    #[inline(always)]
    pub fn push(&mut self, v: Value<'gc>) {
        let at = self.base + self.nargs + self.nres;
        self.state.ensure(at + 1);
        self.state.stack[at] = v;
        self.nres += 1;
    }
    /// Pushes one value and returns it.
    #[inline(always)]
    pub fn ret(&mut self, v: Value<'gc>) -> Reply<'gc> {
        self.push(v);
        Ok(Outcome::Return)
    }
    /// Pushes nil and a message, as library functions fail.
    pub fn ret_nil_err(&mut self, message: impl AsRef<[u8]>) -> Reply<'gc> {
        self.push(Value::NIL);
        let message = self.cx.str(message.as_ref());
        self.push(message);
        Ok(Outcome::Return)
    }
    /// In a sequence's step: how many results the called function gave.
    pub fn results(&self) -> usize {
        self.nres
    }
    /// In a sequence's step: a result, counting from 0; nil beyond the last one.
    pub fn result(&self, i: usize) -> Value<'gc> {
        if i < self.nres { self.state.stack[self.base + self.nargs + i] } else { Value::NIL }
    }
    /// Forgets results, or what was pushed.
    pub fn clear(&mut self) {
        self.nres = 0;
    }
    /// The host's state, lent for this slice. Panics are impossible for rows that only their own host registers.
    pub fn host<T: 'static>(&mut self) -> Option<&mut T> {
        self.host.downcast_mut::<T>()
    }
    /// The same, or an error in these words.
    #[inline]
    pub fn host_or<T: 'static>(&mut self, words: &str) -> Result<&mut T, Value<'gc>> {
        match self.host.downcast_mut::<T>() {
            Some(host) => Ok(host),
            None => Err(arguments::error_at(self.cx, self.state, words.as_bytes())),
        }
    }
    /// The phase the host said it is in.
    pub fn phase(&self) -> u32 {
        self.phase
    }
    /// Pays for work in proportion to its size, before it is done. An overdrawn slice ends at the next instruction.
    #[inline(always)]
    pub fn charge(&mut self, fuel: usize) {
        *self.fuel -= fuel as i64;
    }
    /// Pays when the native returns.
    pub(crate) fn owe(&self, fuel: usize) {
        self.debt.set(self.debt.get() + fuel as i64);
    }
    /// Pays for bytes that are about to be made, and checks the VM's memory limit.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), Value<'gc>> {
        self.cx.check_memory(bytes)?;
        *self.fuel -= (bytes / 32) as i64;
        Ok(())
    }
    /// The running native's upvalue.
    pub fn upvalue(&self, i: usize) -> Value<'gc> {
        match self.function() {
            Some(f) => f.upvalues.get(i).map_or(Value::NIL, |v| v.get()),
            None => Value::NIL,
        }
    }
    pub fn set_upvalue(&self, i: usize, v: Value<'gc>) {
        if let Some(f) = self.function() {
            crate::value::function::NativeObj::set_upvalue(f, self.cx.mc, i, v);
        }
    }
    fn function(&self) -> Option<NativeFn<'gc>> {
        match self.state.stack[self.base - 1].kind() {
            Kind::Native(f) => Some(f),
            _ => None,
        }
    }
    /// The coroutine that called this native.
    pub fn thread(&self) -> Thread<'gc> {
        self.thread
    }
    /// Whether that is a light thread itself, and no coroutine on top of one.
    pub fn is_main(&self) -> bool {
        self.thread.borrow().resumer.is_none()
    }
    /// The environment of the Lua function that called this native; the VM's globals if none did.
    pub fn caller_env(&self) -> Table<'gc> {
        match self.caller() {
            Some(c) => c.env.get(),
            None => self.cx.globals(),
        }
    }
    /// The Lua function that called this native.
    pub fn caller(&self) -> Option<Closure<'gc>> {
        self.state.frames.last().and_then(|f| f.closure)
    }
    /// Takes `value[key]` with metamethods that are tables; a function as `__index` is not called.
    pub fn raw_field(&self, v: Value<'gc>, name: &[u8]) -> Value<'gc> {
        use crate::value::table::TableRef;
        v.as_table().map_or(Value::NIL, |t| t.field(name))
    }
    /// The metamethod of a value, nil if there is none.
    pub fn metamethod(&self, v: Value<'gc>, event: crate::context::Meta) -> Value<'gc> {
        self.cx.metamethod(v, event)
    }
    /// Makes a string value, charging for it.
    pub fn string(&mut self, bytes: Vec<u8>) -> Result<Value<'gc>, Value<'gc>> {
        self.reserve(0)?;
        self.charge(bytes.len() / 32);
        Ok(self.cx.str_vec(bytes))
    }
    /// Starts a light thread's coroutine under a name for the host; `Until::Spawned` runs it.
    pub fn spawn(&mut self, function: Value<'gc>, args: &[Value<'gc>]) -> (ThreadId, Thread<'gc>) {
        let (id, thread) = self.cx.spawn(function, args);
        self.cx.expose(thread);
        (id, thread)
    }
    /// Gives a light thread's slot back; its results can no longer be waited for.
    pub fn bury(&mut self, id: ThreadId) {
        self.cx.bury(id);
    }
    /// Wraps a host object.
    pub fn wrap<T: 'static>(&self, object: Rc<T>, meta: Option<Table<'gc>>) -> Userdata<'gc> {
        self.cx.userdata(object, meta)
    }
    pub fn as_bytes(s: Str<'gc>) -> &'gc [u8] {
        s.bytes()
    }
}
