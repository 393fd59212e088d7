//! How many connections a worker may have at a time (`worker_connections`): its clients' and those that Lua opens.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Asks somebody who is idle to leave; whether there was one.
type MakeRoom = Box<dyn Fn() -> bool>;

/// A worker's places. They are shared by all machines of the worker.
pub struct Places {
    taken: Cell<u64>,
    most: u64,
    /// The directive's number: with what is no place (listening sockets, the way to the parent process).
    all: usize,
    make_room: RefCell<Option<MakeRoom>>,
}

/// One of them: given back when it is dropped.
pub struct Place(Rc<Places>);

/// More than there may be, while those who were asked to leave are on their way out.
const LEAVING: u64 = 32;

impl Places {
    /// `others`: how many of them are not to be had.
    pub fn new(all: usize, others: usize) -> Rc<Places> {
        let most = all.saturating_sub(others) as u64;
        Rc::new(Places { all, most, ..Places::default() })
    }
    /// Who is asked once all places are taken.
    pub fn when_full(&self, make_room: impl Fn() -> bool + 'static) {
        *self.make_room.borrow_mut() = Some(Box::new(make_room));
    }
    /// A place for a connection that is to be; None: there is none left.
    pub fn take(self: &Rc<Places>) -> Option<Place> {
        let taken = self.taken.get();
        let room = taken < self.most
            || (taken < self.most.saturating_add(LEAVING) && self.make_room.borrow().as_ref().is_some_and(|ask| ask()));
        room.then(|| {
            self.taken.set(taken + 1);
            Place(self.clone())
        })
    }
    /// Whether it will soon matter who goes first: less than a sixteenth is free.
    pub fn are_scarce(&self) -> bool {
        self.taken.get().saturating_mul(16) > self.most.saturating_mul(15)
    }
    /// What the log says where there is none left.
    pub fn words(&self) -> String {
        format!("{} worker_connections are not enough", self.all)
    }
}

impl Default for Places {
    /// As many as anybody wants.
    fn default() -> Places {
        Places { taken: Cell::new(0), most: u64::MAX, all: usize::MAX, make_room: RefCell::default() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get() - 1);
    }
}
