//! The machine from outside: load, start, run a slice, collect.
//!
//! 1. The arena is open inside these methods only, never across an await: `mutate`'s `'gc` is too short for any future.
//! 2. Whatever leaves is `'static`: a `ThreadId`, a `Step`, a boxed wait, a `Stashed` handle.
//! 3. Dropping something outside never opens the arena: ids are noted, and cleaned up at the next slice.
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gc_arena::arena::CollectionPhase;
use gc_arena::metrics::Pacing;
use gc_arena::{Arena, Rootable};

use crate::context::{Cx, Due, Root, Shared, Stashed};
use crate::heap::{self, Turn, Zeal};
use crate::interp;
use crate::native::{Parked, Until};
use crate::thread::ThreadId;
use crate::value::{Table, weak};

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
    /// After `Step::Yield` or `Step::Park`: the native that waits ends with this error.
    Failed(&'static str),
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
    limit: Cell<usize>,
    /// Bytes in use after the last full collection that the limit made necessary, or less.
    after_collection: Cell<usize>,
    /// The weak tables that the collector has come across.
    weak: RefCell<weak::List>,
    shared: Rc<Shared>,
    zeal: Zeal,
}

/// The collector's debt is counted in objects; so many bytes weigh as much as one.
const BYTES_A_UNIT: f64 = 96.0;
/// Between two cycles the heap grows by this part of what is alive; the cycle itself lets it grow by about two thirds more.
const SLEEP: f64 = 0.28;
/// Or by so many objects, where little is alive: few enough that the next ones come into memory that the cache still has.
const MIN_SLEEP: usize = 4096;
/// Of its debt the collector pays so much at a time: marking costs 100 ns or more an object where the heap is large.
const STEP: f64 = 1000.0;
/// A slice's fuel while it owes more than that.
const SHORT_SLICE: i64 = 2000;

impl Default for Vm {
    fn default() -> Self {
        Vm::new()
    }
}

/// All that is alive has been marked: weak tables lose their dead entries, dead userdata with a `__gc` live once more, and the
/// sweep begins.
fn end_marking(arena: &mut Arena<Rootable![Root<'_>]>) {
    let Some(marked) = arena.finish_marking() else { return };
    marked.finalize(|fc, root| {
        weak::clear(fc, false);
        if root.finalizable.borrow().is_empty() {
            return;
        }
        let dead: Vec<_> = root.finalizable.borrow().iter().copied().filter(|weak| weak.is_dead(fc)).collect();
        if dead.is_empty() {
            return;
        }
        root.finalizable.borrow_mut(fc).retain(|weak| !weak.is_dead(fc));
        let mut pending = root.pending.borrow_mut(fc);
        // The youngest is the first to go.
        let due = dead.into_iter().filter_map(|weak| weak.resurrect(fc));
        let has_gc = |meta: Option<Table<'_>>| meta.is_some_and(|m| !m.borrow().field(b"__gc").is_nil());
        let due: Vec<_> = due.filter(|u| has_gc(u.meta.get())).collect();
        pending.splice(0..0, due);
    });
    if let Some(marked) = arena.finish_marking() {
        marked.finalize(|fc, _| weak::clear(fc, true));
    }
    if let Some(marked) = arena.finish_marking() {
        marked.start_sweeping();
    }
}

/// Sets the debt.
fn owe(arena: &Arena<Rootable![Root<'_>]>, work: f64) {
    let mut more = work;
    // A sleeping arena has credit that it does not tell.
    while arena.metrics().allocation_debt() < work && more < 1e15 {
        arena.metrics().adjust_debt(more);
        more *= 2.0;
    }
    let owed = arena.metrics().allocation_debt();
    arena.metrics().adjust_debt(work - owed);
}

impl Vm {
    /// An empty machine: no library is registered.
    pub fn new() -> Vm {
        let before = heap::allocated();
        // (the closure is general over the arena lifetime, the function's name would not be)
        #[allow(clippy::redundant_closure)]
        let arena = Arena::<Rootable![Root<'_>]>::new(|mc| Root::new(mc));
        arena.metrics().set_pacing(Pacing { sleep_factor: SLEEP, min_sleep: MIN_SLEEP, ..Pacing::DEFAULT });
        let shared = arena.mutate(|_, root| root.shared.clone());
        shared.baseline.set(before);
        Vm {
            weak: RefCell::default(),
            shared,
            arena: RefCell::new(arena),
            graves: RefCell::default(),
            limit: Cell::new(0),
            after_collection: Cell::new(0),
            zeal: Zeal::new(),
        }
    }

    /// Opens the arena: to register libraries, load chunks, look at values.
    pub fn enter<T>(&self, f: impl for<'gc> FnOnce(Cx<'gc>) -> T) -> T {
        let (before, objects) = (heap::allocated(), self.objects());
        let result = self.arena.borrow().mutate(|mc, root| {
            root.shared.memory_limit.set(self.limit.get());
            let cx = Cx { mc, root };
            cx.sweep_stash();
            self.clean(cx);
            f(cx)
        });
        self.account(before, objects);
        match self.shared.collect.take() {
            Due::Nothing => {}
            Due::Full => self.collect_all(),
            Due::Step(work) => self.step(work),
        }
        if self.zeal.is_on() {
            self.be_zealous();
        }
        result
    }

    /// Bytes that scripts may use; 0: no limit. Beyond it: "not enough memory".
    pub fn limit_memory(&self, bytes: usize) {
        self.limit.set(bytes);
    }
    pub fn memory(&self) -> usize {
        usize::try_from(heap::allocated() - self.shared.baseline.get()).unwrap_or(0)
    }

    /// Makes a light thread that will call the stashed function.
    pub fn start(&self, function: &Stashed) -> ThreadId {
        self.enter(|cx| cx.spawn(cx.fetch(function), &[]).0)
    }

    /// Runs one thread for one slice: one `mutate`, whatever happens inside.
    ///
    /// While the collector is behind, slices are short: `OutOfFuel` may come with fuel left.
    pub fn run(&self, id: ThreadId, wake: Wake, lent: Lent<'_>) -> Step {
        self.slice(lent, |cx, lent| (id, interp::run(cx, id, wake, lent))).1
    }
    /// `start` and the first slice of `run` in one; `made` learns of the thread between the two. None: the thread was done with
    /// its first slice and the host has no more use for it (`over`), so it is buried already.
    pub fn begin(
        &self,
        function: &Stashed,
        lent: Lent<'_>,
        made: impl FnOnce(&mut dyn Any, ThreadId),
        over: impl FnOnce(&mut dyn Any) -> bool,
    ) -> Option<(ThreadId, Step)> {
        let mut buried = false;
        let begun = self.slice(lent, |cx, lent| {
            let (id, _) = cx.spawn(cx.fetch(function), &[]);
            made(lent.host, id);
            let Lent { host, phase, fuel } = lent;
            let step = interp::run(cx, id, Wake::Go, Lent { host: &mut *host, phase, fuel });
            if matches!(step, Step::Done) && over(host) {
                cx.bury(id);
                buried = true;
            }
            (id, step)
        });
        (!buried).then_some(begun)
    }
    fn slice(
        &self,
        lent: Lent<'_>,
        run: impl for<'gc> FnOnce(Cx<'gc>, Lent<'_>) -> (ThreadId, Step),
    ) -> (ThreadId, Step) {
        let Lent { host, phase, fuel } = lent;
        let behind = self.arena.borrow().metrics().allocation_debt() > STEP;
        let most = if self.zeal.is_on() { self.zeal.fuel() } else { SHORT_SLICE };
        let kept = if behind || self.zeal.is_on() { (*fuel - most).max(0) } else { 0 };
        *fuel -= kept;
        let (id, step) = self.enter(|cx| run(cx, Lent { host, phase, fuel: &mut *fuel }));
        *fuel += kept;
        self.mind_limit(id, fuel);
        (id, step)
    }

    /// Near the memory limit: a full collection, paid for by the thread that ran. Beyond it all the same: the thread is told at
    /// its next slice.
    fn mind_limit(&self, id: ThreadId, fuel: &mut i64) {
        let limit = self.limit.get();
        if limit == 0 {
            return;
        }
        let used = self.memory();
        if used > limit / 4 * 3 && used > self.after_collection.get().saturating_add(limit / 16) {
            *fuel -= self.objects() as i64 / 4;
            self.collect_all();
            self.after_collection.set(self.memory());
        }
        let used = self.memory();
        self.after_collection.set(self.after_collection.get().min(used));
        if used > limit {
            self.shared.exhausted.set(Some(id));
        }
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
        if self.shared.stopped.get() && (self.limit.get() == 0 || self.memory() < self.limit.get() / 2) {
            return;
        }
        let owed = self.arena.borrow().metrics().allocation_debt();
        if owed > threshold {
            // What is not paid now is paid after the next slices, which are short until then. A growing debt is paid in growing
            // parts: a program that fills memory faster than small steps can clear it does not get away.
            let later = (owed - STEP.max(owed / 8.0)).max(0.0);
            self.collecting(|arena| {
                arena.metrics().adjust_debt(-later);
                match arena.collection_phase() {
                    CollectionPhase::Sweeping => arena.cycle_debt(),
                    _ => {
                        if arena.mark_debt().is_some() {
                            end_marking(arena);
                        }
                    }
                }
                match arena.collection_phase() {
                    CollectionPhase::Sleeping => self.sleep(arena),
                    _ => arena.metrics().adjust_debt(later),
                }
            });
        }
    }
    /// A cycle is over: the arena sleeps in proportion to its objects; where they are large, longer.
    fn sleep(&self, arena: &Arena<Rootable![Root<'_>]>) {
        let (bytes, objects) = (self.memory() as f64, arena.metrics().total_gc_count() as f64);
        arena.metrics().adjust_debt(-SLEEP * (bytes / BYTES_A_UNIT - objects).max(0.0));
    }
    /// A full collection.
    pub fn collect_all(&self) {
        self.collecting(|arena| {
            // What this cycle has marked already may have died since: the next one finds it.
            for _ in 0..2 {
                if arena.finish_marking().is_some() {
                    end_marking(arena);
                }
                arena.finish_cycle();
            }
            self.sleep(arena);
        });
    }
    /// So many objects' worth of collection; notes whether a cycle ended.
    fn step(&self, work: u32) {
        self.collecting(|arena| {
            owe(arena, f64::from(work));
            if arena.collection_phase() != CollectionPhase::Sweeping && arena.mark_debt().is_some() {
                end_marking(arena);
            }
            if arena.collection_phase() == CollectionPhase::Sweeping {
                arena.cycle_debt();
            }
            let sleeping = arena.collection_phase() == CollectionPhase::Sleeping;
            if sleeping {
                // What was asked for beyond the end of the cycle is no debt of the next one.
                let left = arena.metrics().allocation_debt();
                arena.metrics().adjust_debt(-left);
            }
            self.shared.cycle_done.set(sleeping);
        });
    }
    /// For tests: from now on slices are tiny, and the collector has a random turn after each (`heap/zeal.rs`). 0 ends it.
    pub fn set_zeal(&self, seed: u64) {
        self.zeal.set(seed);
    }
    #[cold]
    fn be_zealous(&self) {
        let turn = self.zeal.turn(self.objects());
        let turn_of = |arena: &mut Arena<Rootable![Root<'_>]>| {
            let sweeping = arena.collection_phase() == CollectionPhase::Sweeping;
            match turn {
                Turn::Some(work) if sweeping => {
                    owe(arena, work);
                    arena.cycle_debt();
                }
                Turn::Some(work) => {
                    owe(arena, work);
                    // (what is marked in full stays so: the next turn may find it like this)
                    let _ = arena.mark_debt();
                }
                Turn::Phase | Turn::EndMarking if sweeping => arena.finish_cycle(),
                Turn::Phase => drop(arena.finish_marking()),
                _ => end_marking(arena),
            }
        };
        match turn {
            Turn::Nothing => {}
            Turn::Full => self.collect_all(),
            _ => self.collecting(turn_of),
        }
    }
    fn collecting(&self, f: impl FnOnce(&mut Arena<Rootable![Root<'_>]>)) {
        weak::collecting(&mut self.weak.borrow_mut(), || f(&mut self.arena.borrow_mut()));
    }
    /// Objects in the arena.
    pub fn objects(&self) -> usize {
        self.arena.borrow().metrics().total_gc_count()
    }

    /// Makes the collector's debt follow bytes, not only objects: a large table, a long string is one object to it.
    fn account(&self, before: isize, objects: usize) {
        let grown = heap::allocated() - before;
        if grown > 4096 {
            // (the arena has counted each object as one)
            let arena = self.arena.borrow();
            let made = arena.metrics().total_gc_count().saturating_sub(objects);
            arena.metrics().adjust_debt((grown as f64 / BYTES_A_UNIT - made as f64).max(0.0));
        }
    }
}
