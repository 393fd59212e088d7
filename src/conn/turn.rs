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
    /// The runtime ends, and with it the task: the next one needs another.
    struct Gone;
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = TURN.try_with(|turn| {
                let mut turn = turn.borrow_mut();
                (turn.writer, turn.running) = (None, false);
            });
        }
    }
    let _gone = Gone;
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::conn::wire::{Framing, Reply};

    /// What the client has got so far.
    fn got(client: &mut std::os::unix::net::UnixStream) -> String {
        let mut bytes = [0; 4096];
        let count = client.read(&mut bytes).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    #[test]
    fn responses_go_out_when_all_are_made() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // (a second runtime on the same thread needs a task of its own)
        for _ in 0..2 {
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let pair = || {
                    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
                    ours.set_nonblocking(true).unwrap();
                    theirs.set_nonblocking(true).unwrap();
                    let stream = tokio::net::UnixStream::from_std(ours).unwrap();
                    (Rc::new(Wire::new(stream.into())), theirs)
                };
                let answer = |wire: &Rc<Wire>, keep_alive, text: &str| {
                    wire.begin(None, false, false);
                    wire.start(Reply { framing: Framing::Length(0), keep_alive }, text.into());
                    wire.end(b"");
                };
                let ((one, mut first), (two, mut second), (three, mut third)) = (pair(), pair(), pair());
                for wire in [&one, &two, &three] {
                    wire.stream.writable().await.unwrap();
                }
                answer(&one, true, "one");
                answer(&two, true, "two");
                // The last one on its connection does not wait.
                answer(&three, false, "three");
                assert_eq!(
                    (got(&mut first), got(&mut second), got(&mut third)),
                    ("".into(), "".into(), "three".into())
                );
                assert!(one.is_later() && two.is_later() && !three.is_later());
                while one.is_later() || two.is_later() {
                    tokio::task::yield_now().await;
                }
                assert_eq!((got(&mut first), got(&mut second)), ("one".into(), "two".into()));
                // Again: the task is there already.
                answer(&two, true, "2");
                assert_eq!(got(&mut second), "");
                while two.is_later() {
                    tokio::task::yield_now().await;
                }
                assert_eq!(got(&mut second), "2");
            });
        }
    }
}
