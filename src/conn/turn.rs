//! What goes out at the end of a turn: the responses to all requests that came at once are written one after the other, when all
//! of them are made.
//!
//! Writing wakes a client that sleeps, which is what costs most about a small response. A client (or a load balancer) with many
//! connections is woken by the first of them and finds the others while it is awake. No response waits for anything but the other
//! tasks that are ready now: the task that writes is queued behind those.
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::wire::Wire;

#[derive(Default)]
struct Turn {
    wires: Vec<Rc<Wire>>,
    /// The task that writes, once it has been polled.
    writer: Option<Waker>,
    running: bool,
}

thread_local!(static TURN: RefCell<Turn> = RefCell::default());

/// The wire's output goes out at the end of the turn; to be called inside a `LocalSet`.
pub fn write(wire: Rc<Wire>) {
    TURN.with_borrow_mut(|turn| {
        turn.wires.push(wire);
        if !turn.running {
            turn.running = true;
            tokio::task::spawn_local(write_all());
        } else if let Some(writer) = turn.writer.take() {
            writer.wake();
        }
    });
}

async fn write_all() {
    poll_fn(|cx| {
        let mut wires = TURN.with_borrow_mut(|turn| {
            turn.writer = Some(cx.waker().clone());
            std::mem::take(&mut turn.wires)
        });
        for wire in wires.drain(..) {
            wire.turn_over();
        }
        // (the list keeps its room)
        TURN.with_borrow_mut(|turn| {
            if turn.wires.is_empty() {
                turn.wires = wires;
            }
        });
        Poll::<()>::Pending
    })
    .await;
}
