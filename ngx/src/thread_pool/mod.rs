//! Thread pools (`thread_pool`), on whose threads `ngx.run_worker_thread` runs functions: one Lua machine a thread, made when the
//! thread gets its first job.
//!
//! A pool belongs to one worker, as everything else does. Jobs and answers cross over as `Plain` values; machines never do.
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::worker::Worker;

mod job;
pub(crate) mod plain;

pub(crate) use job::{Answer, Job};

/// What `thread_pool NAME threads=N max_queue=N` says.
#[derive(Clone, Debug)]
pub struct PoolConf {
    pub name: Vec<u8>,
    pub threads: usize,
    /// Jobs that may wait for a thread.
    pub max_queue: usize,
}

/// Makes a thread's machine, on that thread.
pub type Maker = Arc<dyn Fn() -> Rc<Worker> + Send + Sync>;

/// A worker's pools.
pub struct ThreadPools {
    pools: Vec<(PoolConf, RefCell<Option<Rc<Pool>>>)>,
    /// lua_worker_thread_vm_pool_size: how many jobs may be under way.
    most: usize,
    under_way: Arc<AtomicUsize>,
    maker: Maker,
}

/// A job was not taken: the queue is full, or there is no thread to be had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Overflow {
    pub waiting: usize,
}

impl ThreadPools {
    pub fn new(pools: Vec<PoolConf>, most: usize, maker: Maker) -> ThreadPools {
        let pools = pools.into_iter().map(|conf| (conf, RefCell::default())).collect();
        ThreadPools { pools, most, under_way: Arc::default(), maker }
    }

    /// The number of the pool of that name, for `post`.
    pub(crate) fn find(&self, name: &[u8]) -> Option<usize> {
        self.pools.iter().position(|(conf, _)| conf.name == name)
    }

    /// A place among the jobs that may be under way.
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        // (only this worker's thread adds: nobody comes between the look and the leap)
        if self.under_way.load(Ordering::Relaxed) >= self.most {
            return None;
        }
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Some(Ticket(self.under_way.clone()))
    }

    /// Hands a job to a thread of the pool; the answer comes even if nobody waits for it any more.
    pub(crate) fn post(&self, pool: usize, job: Job) -> Result<oneshot::Receiver<Answer>, Overflow> {
        let (conf, pool) = &self.pools[pool];
        let pool = pool.borrow_mut().get_or_insert_with(|| Rc::new(Pool::new(conf, self.maker.clone()))).clone();
        let (answer, receiver) = oneshot::channel();
        pool.post(Posted { job, answer })?;
        Ok(receiver)
    }
}

/// Given back when the job has ended, on whichever thread.
pub(crate) struct Ticket(Arc<AtomicUsize>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Posted {
    job: Job,
    answer: oneshot::Sender<Answer>,
}

/// One pool: its threads start as jobs come, and end when the pool is dropped.
struct Pool {
    shared: Arc<Shared>,
    threads: usize,
    max_queue: usize,
    maker: Maker,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    posted: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Posted>,
    started: usize,
    idle: usize,
    closed: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Blocks until there is a job; None: the pool is gone.
    fn next(&self) -> Option<Posted> {
        let mut queue = self.queue();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(posted) = queue.jobs.pop_front() {
                return Some(posted);
            }
            queue.idle += 1;
            queue = self.posted.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}

impl Pool {
    fn new(conf: &PoolConf, maker: Maker) -> Pool {
        Pool { shared: Arc::default(), threads: conf.threads, max_queue: conf.max_queue, maker }
    }

    fn post(&self, posted: Posted) -> Result<(), Overflow> {
        let mut queue = self.shared.queue();
        let waiting = queue.jobs.len();
        if waiting >= queue.idle && queue.started < self.threads {
            let (shared, maker) = (self.shared.clone(), self.maker.clone());
            let thread = std::thread::Builder::new().name("lua thread pool".into());
            match thread.spawn(move || serve(&shared, &maker)) {
                Ok(_) => queue.started += 1,
                Err(_) if queue.started == 0 => return Err(Overflow { waiting }),
                Err(_) => {}
            }
        } else if waiting >= self.max_queue + queue.idle {
            return Err(Overflow { waiting });
        }
        queue.jobs.push_back(posted);
        self.shared.posted.notify_one();
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.posted.notify_all();
    }
}

/// A thread's whole life. What a job leaves behind (a connection kept alive) goes on when the next one runs.
fn serve(shared: &Shared, maker: &Maker) {
    vm::bequeath();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        shared.queue().started -= 1;
        return;
    };
    let tasks = LocalSet::new();
    let mut machine: Option<Rc<Worker>> = None;
    while let Some(Posted { job, answer }) = shared.next() {
        let machine = match &mut machine {
            Some(machine) if !machine.is_poisoned() => machine,
            stale => stale.insert(maker()),
        };
        let done = runtime.block_on(tasks.run_until(job.run(machine)));
        // (whoever asked may be gone)
        let _ = answer.send(done);
    }
}
