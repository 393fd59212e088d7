//! What an `incr` of a shared dictionary costs a thread when another one is at it, too: CPU time by the threads' own clocks, so that
//! a busy machine does not show.

use std::sync::Barrier;

use ngx::shdict::Zone;
use rustix::time::{ClockId, clock_gettime};

const OPERATIONS: u64 = 2_000_000;
const ROUNDS: usize = 7;

/// Prints nanoseconds an operation: one thread, two threads on keys of their own, two on the same key.
pub fn main() -> Result<(), String> {
    println!("# CPU nanoseconds an incr, median of {ROUNDS} rounds of {OPERATIONS}");
    // (threads by what their keys begin with, and how many keys each has)
    let rows: [(&str, &[&str], usize); 5] = [
        ("one thread, one key", &["a"], 1),
        ("two threads, a key each", &["a", "b"], 1),
        ("one thread, 1000 keys", &["a"], 1000),
        ("two threads, 1000 keys each", &["a", "b"], 1000),
        ("two threads, the same key", &["a", "a"], 1),
    ];
    let mut base = 0.0;
    for (name, threads, keys) in rows {
        let mut all: Vec<f64> = (0..ROUNDS).map(|_| round(threads, keys)).collect();
        all.sort_by(f64::total_cmp);
        let cost = all[ROUNDS / 2];
        if threads.len() == 1 {
            base = cost;
        }
        println!("{name:<30} {cost:>8.1} {:>6.2}", cost / base);
    }
    Ok(())
}

/// The mean over the threads.
fn round(threads: &[&str], keys: usize) -> f64 {
    let zone = Zone::new("bench", 10 << 20);
    let begin = Barrier::new(threads.len());
    let spent = std::thread::scope(|scope| {
        let running: Vec<_> = threads
            .iter()
            .map(|name| {
                let (zone, begin) = (&zone, &begin);
                scope.spawn(move || {
                    let names: Vec<Vec<u8>> = (0..keys).map(|n| format!("{name}{n}").into_bytes()).collect();
                    begin.wait();
                    let before = cpu();
                    for n in 0..OPERATIONS {
                        let key = &names[n as usize % keys];
                        std::hint::black_box(zone.incr(key, 1.0, Some((0.0, 0)), 1000)).0.expect("numbers only");
                    }
                    cpu() - before
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("no panics")).sum::<f64>()
    });
    spent / threads.len() as f64 / OPERATIONS as f64
}

/// This thread's CPU time in nanoseconds.
fn cpu() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}
