//! Threads of which each is replaced when it dies. Ending in order is no death; a panic that nothing caught is.

use std::thread::JoinHandle;

use tokio::sync::mpsc::UnboundedSender;

type Work = Box<dyn FnOnce() + Send>;

pub struct Crew {
    /// Makes the work of the thread of that number.
    make: Box<dyn FnMut(usize) -> Result<Work, String>>,
    /// Told the number of a thread that died.
    deaths: UnboundedSender<usize>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    pub fn new(deaths: UnboundedSender<usize>, make: impl FnMut(usize) -> Result<Work, String> + 'static) -> Crew {
        Crew { make: Box::new(make), deaths, threads: Vec::new() }
    }

    /// Starts the thread of that number: one more, or the successor of the one that had it.
    pub fn start(&mut self, number: usize) -> Result<(), String> {
        let work = (self.make)(number)?;
        let guard = Guard { number, deaths: self.deaths.clone() };
        let body = move || {
            // What a worker had in memory is for the next one.
            vm::bequeath();
            let _guard = guard;
            work();
        };
        let thread = std::thread::Builder::new().name(format!("worker {number}")).spawn(body);
        let thread = thread.map_err(|error| format!("cannot start a worker: {error}"))?;
        match self.threads.get_mut(number) {
            Some(place) => *place = thread,
            None => self.threads.push(thread),
        }
        Ok(())
    }

    pub fn is_dead(&self, number: usize) -> bool {
        self.threads.get(number).is_none_or(JoinHandle::is_finished)
    }

    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    pub fn join(self) {
        self.threads.into_iter().for_each(|thread| drop(thread.join()));
    }

    /// The threads alone, to be waited for elsewhere.
    pub fn into_threads(self) -> Vec<JoinHandle<()>> {
        self.threads
    }
}

struct Guard {
    number: usize,
    deaths: UnboundedSender<usize>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.deaths.send(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_dead_thread_is_told_of_and_replaced() {
        let (deaths, mut told) = tokio::sync::mpsc::unbounded_channel();
        let runs = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let seen = runs.clone();
        let mut crew = Crew::new(deaths, move |number| {
            let runs = seen.clone();
            Ok(Box::new(move || {
                let run = runs[number].fetch_add(1, Ordering::SeqCst);
                assert!(number == 0 || run > 0, "the second thread dies the first time");
            }))
        });
        crew.start(0).unwrap_or_default();
        crew.start(1).unwrap_or_default();
        let dead = told.blocking_recv();
        assert_eq!(dead, Some(1));
        crew.start(1).unwrap_or_default();
        crew.join();
        assert_eq!((runs[0].load(Ordering::SeqCst), runs[1].load(Ordering::SeqCst)), (1, 2));
        assert!(told.blocking_recv().is_none(), "an orderly end is no death");
    }
}
