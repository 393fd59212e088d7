//! What goes out at the end of a turn: the responses to all requests that came at once, and what they ask of other servers, are
//! written one after the other, when all of them are made.
//!
//! Writing wakes a peer that sleeps, which is what costs most about a few bytes. A peer with many connections (a client, a load
//! balancer, Redis) is woken by the first of them and finds the others while it is awake. Nothing waits for anything but the other
//! tasks that are ready now: the task that writes is queued behind those.
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

#[derive(Default)]
struct Turn {
    jobs: Vec<Rc<dyn AtEnd>>,
    /// The task that writes, once it has been polled.
    writer: Option<Waker>,
    running: bool,
}

thread_local!(static TURN: RefCell<Turn> = RefCell::default());

/// What is done at the end of a turn.
pub trait AtEnd {
    fn turn_over(self: Rc<Self>);
    /// The same when the worker ends: nothing can be waited for any more.
    fn last_turn(&self);
}

/// Has something done at the end of the turn; to be called inside a `LocalSet`.
pub fn at_end(job: Rc<dyn AtEnd>) {
    TURN.with_borrow_mut(|turn| {
        turn.jobs.push(job);
        if !turn.running {
            turn.running = true;
            tokio::task::spawn_local(write_all(Running));
        } else if let Some(writer) = turn.writer.take() {
            writer.wake();
        }
    });
}

/// Held by the task that writes. When the runtime ends, and with it the task, the next one needs another.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        let left = TURN.try_with(|turn| std::mem::take(&mut *turn.borrow_mut()));
        left.into_iter().flat_map(|turn| turn.jobs).for_each(|job| job.last_turn());
    }
}

async fn write_all(_running: Running) {
    poll_fn(|cx| {
        let mut jobs = TURN.with_borrow_mut(|turn| {
            turn.writer = Some(cx.waker().clone());
            std::mem::take(&mut turn.jobs)
        });
        for job in jobs.drain(..) {
            job.turn_over();
        }
        // (the list keeps its room)
        TURN.with_borrow_mut(|turn| {
            if turn.jobs.is_empty() {
                turn.jobs = jobs;
            }
        });
        Poll::<()>::Pending
    })
    .await;
}
