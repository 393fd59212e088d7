//! Deadlines: what sleeps and what waits for so long only.
//!
//! All deadlines of a thread stand in one ordered list, behind which there is a single timer of the runtime. Most waits are over
//! long before their limit; such a one is put into the list and taken out again, and the runtime never hears of it. (Each timer
//! of the runtime that is due before the others costs a system call, for the runtime takes it for news from another thread.)
//!
//! The timer is lazy: when what it was set for is gone it fires all the same, once, and is set for what is first then.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

/// The order in the list: by time (in nanoseconds, which compare faster than an `Instant`), then by age.
type Place = (u64, u64);

/// When the list was made. (The time that is kept may be before that.)
const BASE: u64 = 1 << 62;

struct List {
    base: Instant,
    waiting: BTreeMap<Place, Waker>,
    made: u64,
    /// When the runtime's timer fires; None: it is not set.
    set: Option<Instant>,
    /// The task that sets it, once it has been polled.
    keeper: Option<Waker>,
    kept: bool,
}

thread_local!(static LIST: RefCell<List> = RefCell::new(List {
    base: Instant::now(),
    waiting: BTreeMap::new(),
    made: 0,
    set: None,
    keeper: None,
    kept: false,
}));

/// Resolves when its time has come, to the runtime's millisecond.
#[derive(Debug)]
pub struct Alarm {
    at: Instant,
    place: Option<Place>,
}

impl Alarm {
    pub fn at(at: Instant) -> Alarm {
        Alarm { at, place: None }
    }
    /// So long after that. (As the runtime: what is too far away to be a time is thirty years away.)
    pub fn after(start: Instant, time: Duration) -> Alarm {
        Alarm::at(start.checked_add(time).unwrap_or(start + Duration::from_secs(86_400 * 365 * 30)))
    }
    /// For a task that always has the same waker: it was not polled yet, or its time has come.
    pub fn needs_poll(&self) -> bool {
        self.place.is_none() || self.at <= crate::now::instant().into()
    }
    pub fn deadline(&self) -> Instant {
        self.at
    }
    /// From now on it is for another time; to be polled before it wakes anybody.
    pub fn reset(&mut self, at: Instant) {
        *self = Alarm::at(at);
    }
}

/// As `tokio::time::sleep`; to be polled inside a `LocalSet`.
pub fn sleep(time: Duration) -> Alarm {
    Alarm::after(crate::now::instant().into(), time)
}

/// The job's result; None: it took longer than that, and was dropped.
pub async fn within<T>(limit: Duration, job: impl Future<Output = T>) -> Option<T> {
    let mut job = pin!(job);
    let mut alarm = None;
    poll_fn(|cx| {
        if let Poll::Ready(result) = job.as_mut().poll(cx) {
            return Poll::Ready(Some(result));
        }
        // (most jobs need no second look, and no clock)
        Pin::new(alarm.get_or_insert_with(|| sleep(limit))).poll(cx).map(|()| None)
    })
    .await
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        LIST.with_borrow_mut(|list| {
            let Some(place) = self.place else {
                list.made += 1;
                let place = (list.key(self.at), list.made);
                self.place = Some(place);
                list.waiting.insert(place, cx.waker().clone());
                if list.set.is_none_or(|set| self.at < set) {
                    list.call_keeper();
                }
                return Poll::Pending;
            };
            match list.waiting.get_mut(&place) {
                // Taken out: its time has come.
                None => Poll::Ready(()),
                Some(waker) => {
                    waker.clone_from(cx.waker());
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            // (not where the thread ends and its list is gone already)
            let _ = LIST.try_with(|list| list.borrow_mut().waiting.remove(&place));
        }
    }
}

impl List {
    fn key(&self, at: Instant) -> u64 {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).map_or(BASE, |nanos| nanos.min(BASE));
        match at.checked_duration_since(self.base) {
            Some(since) => BASE + nanos(since),
            None => BASE - nanos(self.base - at),
        }
    }
    fn time(&self, key: u64) -> Instant {
        match key.checked_sub(BASE) {
            Some(since) => self.base + Duration::from_nanos(since),
            None => self.base - Duration::from_nanos(BASE - key),
        }
    }
    fn call_keeper(&mut self) {
        if !self.kept {
            self.kept = true;
            tokio::task::spawn_local(keep());
        } else if let Some(keeper) = self.keeper.take() {
            keeper.wake();
        }
    }
    /// Takes out what is due; Err: how long the first of the others has.
    fn due(&mut self, now: Instant) -> Result<Vec<Waker>, Option<Instant>> {
        let (first, now) = (self.waiting.first_key_value().map(|((at, _), _)| *at), self.key(now));
        if first.is_none_or(|at| at > now) {
            return Err(first.map(|at| self.time(at)));
        }
        let later = self.waiting.split_off(&(now, u64::MAX));
        Ok(std::mem::replace(&mut self.waiting, later).into_values().collect())
    }
}

/// Sets the runtime's timer for the first of all deadlines, and wakes who is due.
async fn keep() {
    /// The runtime ends, and with it the task: the next one needs another.
    struct Gone;
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = LIST.try_with(|list| {
                let mut list = list.borrow_mut();
                (list.set, list.keeper, list.kept) = (None, None, false);
            });
        }
    }
    let _gone = Gone;
    let mut timer = pin!(tokio::time::sleep_until(Instant::now()));
    poll_fn(|cx| {
        loop {
            // (by the same clock that deadlines are counted from: what is set in this turn is not due in it)
            match LIST.with_borrow_mut(|list| list.due(crate::now::instant().into())) {
                // (outside the list, which the woken may look at)
                Ok(due) => due.into_iter().for_each(Waker::wake),
                Err(first) => {
                    if let Some(first) = first
                        && (timer.is_elapsed() || first < timer.deadline())
                    {
                        timer.as_mut().reset(first);
                    }
                    if first.is_some() && timer.as_mut().poll(cx).is_ready() {
                        crate::now::update();
                        continue;
                    }
                    LIST.with_borrow_mut(|list| {
                        list.set = first.map(|_| timer.deadline());
                        list.keeper = Some(cx.waker().clone());
                    });
                    return Poll::<()>::Pending;
                }
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    fn run<T>(job: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, job)
    }

    #[test]
    fn deadlines_come_in_their_order() {
        // (a second runtime on the same thread needs a keeper of its own)
        for _ in 0..2 {
            run(async {
                let order = Rc::new(RefCell::new(Vec::new()));
                let now = Instant::now();
                let jobs: Vec<_> = [30u64, 5, 20, 0, 10]
                    .into_iter()
                    .map(|ms| {
                        let order = order.clone();
                        tokio::task::spawn_local(async move {
                            Alarm::at(now + Duration::from_millis(ms)).await;
                            order.borrow_mut().push(ms);
                        })
                    })
                    .collect();
                for job in jobs {
                    job.await.unwrap();
                }
                assert_eq!(*order.borrow(), [0, 5, 10, 20, 30]);
            });
            assert!(LIST.with_borrow(|list| list.waiting.is_empty() && !list.kept));
        }
    }

    #[test]
    fn deadlines_before_the_list_was_made_have_their_order() {
        let ms = Duration::from_millis;
        let base = Instant::now() + ms(100);
        let mut list = List { base, waiting: BTreeMap::new(), made: 0, set: None, keeper: None, kept: false };
        for at in [base - ms(20), base - ms(10), base, base + ms(10)] {
            assert_eq!(list.time(list.key(at)), at);
            list.waiting.insert((list.key(at), 0), Waker::noop().clone());
        }
        assert_eq!(list.due(base - ms(21)).unwrap_err(), Some(base - ms(20)));
        assert_eq!(list.due(base - ms(15)).unwrap().len(), 1);
        assert_eq!(list.due(base - ms(11)).unwrap_err(), Some(base - ms(10)));
        assert_eq!(list.due(base).unwrap().len(), 2);
        assert_eq!(list.due(base + ms(9)).unwrap_err(), Some(base + ms(10)));
    }

    #[test]
    fn what_is_over_in_time_leaves_nothing() {
        run(async {
            let second = Duration::from_secs(3600);
            assert_eq!(within(second, async { 1 }).await, Some(1));
            let later = async {
                tokio::task::yield_now().await;
                2
            };
            assert_eq!(within(second, later).await, Some(2));
            assert!(LIST.with_borrow(|list| list.waiting.is_empty()));
            assert_eq!(within(Duration::from_millis(1), std::future::pending::<()>()).await, None);
            // The timer is set for an hour from now; what comes before that is not forgotten.
            let long = within(second, sleep(Duration::from_millis(5)));
            assert_eq!(long.await, Some(()));
            assert!(LIST.with_borrow(|list| list.waiting.is_empty()));
        });
    }
}
