//! Timers of one worker: counts, limits, and the end of waiting when the worker exits.
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use vm::{Stashed, Value};

use crate::gauges::{Gauges, Tally};
use crate::log::{Level, Log};
use crate::phase::Phase;
use crate::request::Request;
use crate::sched::Run;
use crate::worker::Worker;

/// lua_max_running_timers' and lua_max_pending_timers' defaults.
const MAX_RUNNING: usize = 256;
const MAX_PENDING: usize = 1024;

pub(crate) struct Timers {
    pub pending: Tally,
    pub running: Tally,
    /// Those of built-in modules, pending or running: they are in nobody's way, but they are to end, too.
    own: Cell<usize>,
    max_running: usize,
    max_pending: usize,
    /// Told when the worker begins to exit.
    exit: Notify,
    /// Told when a timer has ended.
    ended: Notify,
}

/// What a timer calls: the function, and the arguments after `premature`.
pub(crate) struct Callback {
    pub function: Stashed,
    pub args: Vec<Stashed>,
}

impl Callback {
    /// `=content_by_lua(nginx.conf:12):3`: where the function begins.
    fn place(&self, worker: &Worker) -> String {
        worker.vm.enter(|cx| match cx.fetch(&self.function).as_closure() {
            Some(f) => {
                let source = String::from_utf8_lossy(f.proto.info().source).into_owned();
                format!("{source}:{}", f.proto.info().line_defined)
            }
            None => "=[C]:-1".into(),
        })
    }
}

impl Timers {
    pub fn new(max_running: usize, max_pending: usize, gauges: &Arc<Gauges>) -> Timers {
        Timers {
            pending: Tally::new(gauges, |gauges| &gauges.timers_pending),
            running: Tally::new(gauges, |gauges| &gauges.timers_running),
            own: Cell::new(0),
            max_running: if max_running == 0 { MAX_RUNNING } else { max_running },
            max_pending: if max_pending == 0 { MAX_PENDING } else { max_pending },
            exit: Notify::new(),
            ended: Notify::new(),
        }
    }
    /// Pending timers run now, premature.
    pub fn exit(&self, log: &dyn Log) {
        if log.enabled(Level::Debug) && self.pending.get() > 0 {
            log.write(Level::Debug, b"lua abort pending timers", None);
            let words = format!("lua found {} pending timers to be aborted prematurely", self.pending.get());
            log.write(Level::Debug, words.as_bytes(), None);
        }
        self.exit.notify_waiters();
    }
    /// Resolves when the worker begins to exit after it was made.
    pub fn exit_begins(&self) -> tokio::sync::futures::Notified<'_> {
        self.exit.notified()
    }
    /// Resolves when none is pending or running.
    pub async fn idle(&self) {
        let left = || self.pending.get() + self.running.get() + self.own.get() > 0;
        while left() {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if left() {
                ended.await;
            }
        }
    }
    /// Starts a built-in module's timer, which is due at once and not counted with the others.
    pub fn start_own(worker: &Rc<Worker>, like: &Request, callback: Callback) {
        let model = worker.bare_request(Phase::Timer, Some(like));
        let hold = worker.hold(&model.log);
        let owner = worker.clone();
        worker.timers.own.set(worker.timers.own.get() + 1);
        worker.task(async move {
            let mut request = owner.bare_request(Phase::Timer, Some(&model));
            call(&owner, &mut request, &callback, false).await;
            drop(hold);
            owner.timers.own.set(owner.timers.own.get() - 1);
            owner.timers.ended.notify_waiters();
        });
    }
    /// The error of `ngx.timer.at`, if no more may wait.
    pub fn full(&self) -> bool {
        self.pending.get() >= self.max_pending
    }
}

/// Registers a timer; `every`: it runs again and again.
pub(crate) fn start(worker: &Rc<Worker>, like: &Request, delay: Duration, every: bool, callback: Callback) {
    let model = worker.bare_request(Phase::Timer, Some(like));
    let hold = worker.hold(&model.log);
    let owner = worker.clone();
    worker.timers.pending.add(1);
    let again = every.then_some(delay);
    worker.task(async move {
        let callback = Rc::new(callback);
        loop {
            let exit = owner.timers.exit.notified();
            let premature = if owner.is_exiting() {
                // (one that is due at once runs in time)
                !delay.is_zero()
            } else {
                // (one that is due at once waited for its task's turn: in the order in which they were registered)
                let pause = async {
                    if !delay.is_zero() {
                        crate::api::time::pause(delay).await;
                    }
                };
                tokio::select! {
                    biased;
                    () = exit => true,
                    () = pause => false,
                }
            };
            owner.timers.pending.sub(1);
            owner.log_for(&model, Level::Debug, b"lua ngx.timer expired");
            if owner.timers.running.get() >= owner.timers.max_running && !premature {
                let place = callback.place(&owner);
                let words = format!(
                    "lua failed to run timer with function defined at {place}: {} lua_max_running_timers are not enough",
                    owner.timers.max_running
                );
                owner.log_for(&model, Level::Alert, words.as_bytes());
            } else {
                run(&owner, &model, &callback, premature, again.is_some()).await;
            }
            if again.is_none() || premature || owner.is_exiting() {
                break;
            }
            owner.timers.pending.add(1);
        }
        drop(hold);
        owner.timers.ended.notify_waiters();
    });
}

/// One expiry. A timer of `every` is pending again while its function runs, as in OpenResty; so it runs beside the next wait.
async fn run(worker: &Rc<Worker>, model: &Request, callback: &Rc<Callback>, premature: bool, beside: bool) {
    let mut request = worker.bare_request(Phase::Timer, Some(model));
    worker.timers.running.add(1);
    let (owner, callback) = (worker.clone(), callback.clone());
    let job = async move {
        call(&owner, &mut request, &callback, premature).await;
        owner.timers.running.sub(1);
        owner.timers.ended.notify_waiters();
    };
    if beside && !premature { worker.task(job) } else { job.await }
}

/// Runs a timer's function to its end.
async fn call(worker: &Rc<Worker>, request: &mut Request, callback: &Callback, premature: bool) {
    let id = worker.vm.enter(|cx| {
        let mut args = vec![Value::bool(premature)];
        args.extend(callback.args.iter().map(|a| cx.fetch(a)));
        cx.spawn(cx.fetch(&callback.function), &args).0
    });
    Run::new(worker.clone(), id).run(request).await;
    worker.log_for(request, Level::Debug, b"http lua close fake http connection");
}
