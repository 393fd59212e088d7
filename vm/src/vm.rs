//! The machine from outside: load, start, run a slice, collect.
//!
//! 1. The arena is open inside these methods only, never across an await: `mutate`'s `'gc` is too short for any future.
//! 2. Whatever leaves is `'static`: a `ThreadId`, a `Step`, a boxed wait, a `Stashed` handle.
//! 3. Dropping something outside never opens the arena: ids are noted, and cleaned up at the next slice.
use std::any::Any;
use std::cell::{Cell, RefCell};

use gc_arena::metrics::Pacing;
use gc_arena::{Arena, Rootable};

use crate::context::{Cx, Root, Stashed};
use crate::heap;
use crate::interp;
use crate::native::{Parked, Until};
use crate::thread::ThreadId;

/// Why the interpreter came back.
pub enum Step {
    Done,
    /// An error nobody caught. The thread keeps its frames for a traceback until it is buried.
    Error,
    OutOfFuel,
    /// Waits for something in this VM.
    Yield(Until),
    /// Waits for the outside world.
    Park(Parked),
    /// A native ended the run; the host knows why.
    Exit,
    /// The thread was buried before its turn came.
    Gone,
}

/// How a thread is entered again.
pub enum Wake {
    /// Start, or go on after `OutOfFuel` or `Until::NextTurn`.
    Go,
    Resume(Parked),
    /// After `Until::Spawned`: the child's thread object is the result.
    Spawned(ThreadId),
    /// After `Until::Finished`: this one has; its results are handed over and it is buried.
    Finished(ThreadId),
    /// After `Until::Finished` or `Until::NextTurn`: nil and this message.
    Refused(&'static str),
}

/// What the host lends to the VM for one slice. Natives borrow `host` in turn; a parked future cannot.
pub struct Lent<'a> {
    pub host: &'a mut dyn Any,
    /// Compared with the rows' `phases`.
    pub phase: u32,
    pub fuel: &'a mut i64,
}

pub struct Vm {
    // `mutate` needs a shared borrow, `collect` a unique one: a Drop inside a collection that calls back into the VM panics
    // here at once.
    arena: RefCell<Arena<Rootable![Root<'_>]>>,
    graves: RefCell<Vec<ThreadId>>,
    /// Bytes in use according to the allocator, summed over slices.
    memory: Cell<isize>,
    limit: Cell<usize>,
}

impl Default for Vm {
    fn default() -> Self {
        Vm::new()
    }
}

impl Vm {
    /// An empty machine: no library is registered.
    pub fn new() -> Vm {
        let before = heap::allocated();
        // (the closure is general over 'gc, the function's name would not be)
        #[allow(clippy::redundant_closure)]
        let mut arena = Arena::<Rootable![Root<'_>]>::new(|mc| Root::new(mc));
        arena.metrics().set_pacing(Pacing { sleep_factor: 1.0, min_sleep: 4096, ..Pacing::DEFAULT });
        arena.mutate_root(|_, _| ());
        Vm {
            arena: RefCell::new(arena),
            graves: RefCell::default(),
            memory: Cell::new(heap::allocated() - before),
            limit: Cell::new(0),
        }
    }

    /// Opens the arena: to register libraries, load chunks, look at values.
    pub fn enter<T>(&self, f: impl for<'gc> FnOnce(Cx<'gc>) -> T) -> T {
        let before = heap::allocated();
        let mut full = false;
        let result = self.arena.borrow().mutate(|mc, root| {
            root.shared.memory_limit.set(self.limit.get());
            root.shared.memory_before.set(self.memory.get());
            root.shared.counter_before.set(before);
            let cx = Cx { mc, root };
            cx.sweep_stash();
            self.clean(cx);
            let result = f(cx);
            full = root.shared.collect.take();
            result
        });
        self.account(before);
        if full {
            self.collect_all();
        }
        result
    }

    /// Bytes that scripts may use; 0: no limit. Beyond it: "not enough memory".
    pub fn limit_memory(&self, bytes: usize) {
        self.limit.set(bytes);
    }
    pub fn memory(&self) -> usize {
        usize::try_from(self.memory.get()).unwrap_or(0)
    }

    /// Makes a light thread that will call the stashed function.
    pub fn start(&self, function: &Stashed) -> ThreadId {
        self.enter(|cx| cx.spawn(cx.fetch(function), &[]).0)
    }

    /// Runs one thread for one slice: one `mutate`, whatever happens inside.
    pub fn run(&self, id: ThreadId, wake: Wake, lent: Lent<'_>) -> Step {
        self.enter(|cx| interp::run(cx, id, wake, lent))
    }

    /// A thread is no longer wanted. Callable from any Drop; the arena is not entered.
    pub fn bury(&self, id: ThreadId) {
        self.graves.borrow_mut().push(id);
    }
    fn clean(&self, cx: Cx<'_>) {
        while let Some(id) = { self.graves.borrow_mut().pop() } {
            cx.bury(id);
        }
    }

    /// Pays the collector's debt once it exceeds so many objects' worth.
    pub fn collect(&self, threshold: f64) {
        if self.arena.borrow().metrics().allocation_debt() > threshold {
            let before = heap::allocated();
            self.arena.borrow_mut().collect_debt();
            self.memory.set(self.memory.get() + heap::allocated() - before);
        }
    }
    /// A full collection.
    pub fn collect_all(&self) {
        let before = heap::allocated();
        let mut arena = self.arena.borrow_mut();
        arena.finish_cycle();
        arena.finish_cycle();
        self.memory.set(self.memory.get() + heap::allocated() - before);
    }
    /// Objects in the arena.
    pub fn objects(&self) -> usize {
        self.arena.borrow().metrics().total_gc_count()
    }

    /// Books what a slice allocated, and makes the collector's debt follow bytes, not only objects: a large table, a long string
    /// is one object to it.
    fn account(&self, before: isize) {
        let grown = heap::allocated() - before;
        self.memory.set(self.memory.get() + grown);
        if grown > 4096 {
            // An average object is about 64 bytes and is counted by the arena itself.
            self.arena.borrow().metrics().adjust_debt(grown as f64 / 256.0);
        }
    }
}
