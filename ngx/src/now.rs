//! The time as nginx keeps it: read when a thread's event loop wakes, and the same for all that it does until it sleeps again.
//!
//! Only a thread whose loop does so (`follow`) has its time kept; in every other one each look is at the clock itself.
use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Builder;

#[derive(Clone, Copy)]
struct Now {
    instant: Instant,
    unix: Duration,
}

thread_local!(static KEPT: Cell<Option<Now>> = const { Cell::new(None) });

impl Now {
    fn read() -> Now {
        Now { instant: Instant::now(), unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }
}

/// The runtime's thread has its time kept.
pub fn follow(builder: &mut Builder) -> &mut Builder {
    builder.on_thread_unpark(|| KEPT.set(Some(Now::read())))
}

/// Reads the clock where the time is kept: for what has run long without a wait. As ngx.update_time.
pub fn update() {
    if KEPT.get().is_some() {
        KEPT.set(Some(Now::read()));
    }
}

/// What deadlines are counted from.
pub fn instant() -> Instant {
    KEPT.get().map_or_else(Instant::now, |now| now.instant)
}

/// When the millisecond of `unix_ms` began.
pub fn tick() -> Instant {
    let now = KEPT.get().unwrap_or_else(Now::read);
    let part = Duration::from_nanos(u64::from(now.unix.subsec_nanos() % 1_000_000));
    now.instant.checked_sub(part).unwrap_or(now.instant)
}

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    let unix = KEPT.get().unwrap_or_else(Now::read).unix;
    u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_stands_still_between_two_waits() {
        let past = |ms: u64| {
            while unix_ms_of_the_clock() <= ms {
                std::hint::spin_loop();
            }
        };
        assert!(KEPT.get().is_none());
        let before = unix_ms();
        past(before);
        assert!(unix_ms() > before, "nobody keeps this thread's time");
        let runtime = follow(Builder::new_current_thread().enable_all()).build().unwrap();
        runtime.block_on(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let (instant_then, ms) = (instant(), unix_ms());
            past(ms);
            assert_eq!((instant(), unix_ms()), (instant_then, ms));
            update();
            assert!(instant() > instant_then && unix_ms() > ms);
            let updated = instant();
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(instant() > updated);
        });
    }

    fn unix_ms_of_the_clock() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
    }
}
