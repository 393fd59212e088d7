//! Threads that come and go leave their memory to those that stay and those that come.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::mpsc::channel;

#[global_allocator]
static ALLOCATOR: vm::Allocator = vm::Allocator;

/// (what is counted is the whole process's)
static TURN: Mutex<()> = Mutex::new(());

const CHUNK: usize = 64 * 1024;

/// Memory that rounds 6 to 500 take from the system, in bytes.
fn growth(mut round: impl FnMut()) -> usize {
    let _turn = TURN.lock().unwrap();
    (0..5).for_each(|_| round());
    let before = vm::reserved();
    (5..500).for_each(|_| round());
    vm::reserved() - before
}

/// Blocks of many sizes, 12 KiB together.
fn blocks() -> Vec<Vec<u8>> {
    (1..24).map(|n| vec![7; n * 44]).collect()
}

/// Runs it on a thread of its own, which is gone with all it does at its end.
fn run(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        vm::bequeath();
        work();
    })
    .join()
    .unwrap();
}

#[test]
fn what_others_free_comes_back() {
    assert!(
        growth(|| run({
            let all = blocks();
            move || drop(all)
        })) <= CHUNK
    );
}

#[test]
fn what_others_leave_is_used() {
    let grown = growth(|| {
        let (tell, told) = channel();
        run(move || tell.send(blocks()).unwrap());
        drop(told.recv().unwrap());
        vm::pass_on();
    });
    assert!(grown <= CHUNK, "{grown}");
}

#[test]
fn what_thread_locals_hold_is_left_too() {
    thread_local!(static HELD: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) });
    let grown = growth(|| run(|| HELD.set(blocks())));
    assert!(grown <= CHUNK, "{grown}");
}

#[test]
fn two_at_a_time_need_twice_as_much_and_no_more() {
    let grown = growth(|| {
        let work = || {
            vm::bequeath();
            let all = blocks();
            move || drop(all)
        };
        let both = [std::thread::spawn(work), std::thread::spawn(work)];
        both.into_iter().for_each(|thread| thread.join().unwrap()());
        vm::pass_on();
    });
    assert!(grown <= 2 * CHUNK, "{grown}");
}
