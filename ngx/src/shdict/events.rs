//! Texts that go from one worker to all that listen: each has a queue, and is woken through its own runtime.
//!
//! A text is in memory once, however many queues it is in. A queue that is not emptied does not grow for ever: beyond `MOST` the
//! oldest text goes.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

/// As many texts wait for a worker that does not look.
const MOST: usize = 65_536;

/// Who listens.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<Vec<Weak<Queue>>>);

#[derive(Debug, Default)]
pub(crate) struct Queue {
    texts: Mutex<VecDeque<Arc<[u8]>>>,
    told: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Events {
    /// A queue of what is posted from now on; it ends with its owner.
    pub fn join(&self) -> Arc<Queue> {
        let queue = Arc::new(Queue::default());
        let mut queues = lock(&self.0);
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(Arc::downgrade(&queue));
        queue
    }

    /// To all queues. (Under one lock, so that all have the same order.)
    pub fn post(&self, text: &[u8]) {
        let text: Arc<[u8]> = text.into();
        for queue in lock(&self.0).iter().filter_map(Weak::upgrade) {
            let mut texts = lock(&queue.texts);
            if texts.len() >= MOST {
                texts.pop_front();
            }
            texts.push_back(text.clone());
            drop(texts);
            queue.wake();
        }
    }
}

impl Queue {
    pub fn take(&self) -> Option<Arc<[u8]>> {
        lock(&self.texts).pop_front()
    }
    /// Ends the wait of whoever waits, or the next one.
    pub fn wake(&self) {
        self.told.notify_one();
    }
    pub async fn posted(&self) {
        self.told.notified().await;
    }
}
