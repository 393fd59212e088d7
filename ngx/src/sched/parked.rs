//! The waits of one run, polled together inside one task.
//!
//! A few waits are all polled with the task's own waker, which costs nothing more. With many, each slot gets a waker of its own
//! that notes which slot is ready, so that a wake costs one poll and not n. A note for a slot that meanwhile holds another wait
//! causes one needless poll: so slots need no generation.
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use smallvec::SmallVec;
use vm::{Parked, ThreadId};

#[derive(Default)]
pub(crate) struct WaitSet {
    /// Most runs have one thread, which needs no room on the heap.
    slots: SmallVec<[Slot; 1]>,
    free: SmallVec<[usize; 2]>,
    /// Slots whose wait may not know its slot's waker yet.
    fresh: SmallVec<[usize; 2]>,
    shared: Option<Arc<Shared>>,
}

struct Slot {
    wait: Option<(ThreadId, Parked)>,
    waker: Option<Waker>,
}

const FEW: usize = 4;

/// A Waker must be Send and Sync even where everything stays on one thread: hence Arc and Mutex, never contended.
#[derive(Default)]
struct Shared {
    inner: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    ready: Vec<usize>,
    task: Option<Waker>,
}

struct Note {
    slot: usize,
    shared: Arc<Shared>,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        let mut notes = self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner);
        notes.ready.push(self.slot);
        // The task's waker is taken: any number of ready waits wake the task once.
        let task = notes.task.take();
        drop(notes);
        task.inspect(Waker::wake_by_ref);
    }
}

impl WaitSet {
    pub fn insert(&mut self, id: ThreadId, wait: Parked) {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { wait: None, waker: None });
            self.slots.len() - 1
        });
        self.slots[at].wait = Some((id, wait));
        self.fresh.push(at);
    }
    /// What a thread waits for.
    pub fn remove(&mut self, id: ThreadId) -> Option<Parked> {
        let at = self.slots.iter().position(|s| s.wait.as_ref().is_some_and(|w| w.0 == id))?;
        self.free.push(at);
        self.slots[at].wait.take().map(|(_, wait)| wait)
    }
    /// Everything that is being waited for.
    pub fn all(&self) -> impl Iterator<Item = &Parked> {
        self.slots.iter().filter_map(|slot| slot.wait.as_ref().map(|(_, wait)| wait))
    }
    pub fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }
    /// The next wait that is over. Must not be called when empty.
    pub async fn next(&mut self) -> (ThreadId, Parked) {
        poll_fn(|cx| if self.slots.len() <= FEW { self.poll_all(cx) } else { self.poll_noted(cx) }).await
    }

    /// A wait that is over by now, if there is one.
    pub async fn now(&mut self) -> Option<(ThreadId, Parked)> {
        if self.is_empty() {
            return None;
        }
        poll_fn(|cx| {
            let polled = if self.slots.len() <= FEW { self.poll_all(cx) } else { self.poll_noted(cx) };
            Poll::Ready(match polled {
                Poll::Ready(done) => Some(done),
                Poll::Pending => None,
            })
        })
        .await
    }

    fn poll_one(&mut self, at: usize, cx: &mut Context<'_>) -> Poll<(ThreadId, Parked)> {
        let Some((_, wait)) = &mut self.slots[at].wait else { return Poll::Pending };
        if wait.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.free.push(at);
        match self.slots[at].wait.take() {
            Some(done) => Poll::Ready(done),
            None => Poll::Pending,
        }
    }

    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<(ThreadId, Parked)> {
        self.fresh.clear();
        (0..self.slots.len()).map(|at| self.poll_one(at, cx)).find(Poll::is_ready).unwrap_or(Poll::Pending)
    }

    /// `slots` never shrinks, so a run that once had many waits stays in this mode; the switch makes every slot fresh.
    fn poll_noted(&mut self, cx: &mut Context<'_>) -> Poll<(ThreadId, Parked)> {
        if self.shared.is_none() {
            self.shared = Some(Arc::default());
            self.fresh = (0..self.slots.len()).collect();
        }
        let shared = self.shared.get_or_insert_default().clone();
        loop {
            let next = match self.fresh.pop() {
                Some(at) => Some(at),
                None => {
                    let mut notes = shared.inner.lock().unwrap_or_else(PoisonError::into_inner);
                    let next = notes.ready.pop();
                    if next.is_none() {
                        notes.task = Some(cx.waker().clone());
                    }
                    next
                }
            };
            let Some(at) = next else { return Poll::Pending };
            let note = || Waker::from(Arc::new(Note { slot: at, shared: shared.clone() }));
            let waker = self.slots[at].waker.get_or_insert_with(note).clone();
            let found = self.poll_one(at, &mut Context::from_waker(&waker));
            if found.is_ready() {
                return found;
            }
        }
    }
}
