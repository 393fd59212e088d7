//! A thread-local free-list allocator over the system's, with an exact count of the bytes its thread has allocated.
//!
//! Small blocks (up to 512 bytes) come in classes of 16 bytes, middling ones (up to 8 KiB: buffers, futures) in powers of two, from
//! 64 KiB chunks that are never given back; a block that is freed on another thread joins that thread's list. Larger ones are the
//! system's. A binary opts in with `#[global_allocator]`.
//!
//! A thread that ends leaves its blocks to all others (`bequeath`): before a thread cuts a class's blocks from a chunk it asks for some
//! that were left. So memory does not grow when threads that come and go free what a lasting one allocates, or the other way round, as
//! reloads do.
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes allocated minus bytes freed by this thread since it began (0 unless [`Allocator`] is the global allocator).
/// Negative on a thread that frees what others allocated.
#[inline]
pub fn allocated() -> isize {
    // SAFETY: the reference does not leave the closure, which calls nothing.
    HEAP.try_with(|h| unsafe { (*h.get()).live }).unwrap_or(0)
}

/// Bytes of the chunks that small and middling blocks come from, of all threads that are and were (0 unless [`Allocator`] is the
/// global allocator).
pub fn reserved() -> usize {
    RESERVED.load(Ordering::Relaxed)
}

/// The first thing a thread does that comes and goes with its work: at its end, other threads get its blocks. Thread-locals are dropped
/// the latest first, so what those of the thread's own work hold is among them.
pub fn bequeath() {
    LAST.with(|_| ());
}

/// This thread's free blocks are for all. For a thread that stays, and frees what those
/// that came and went have allocated.
pub fn pass_on() {
    leave(false);
}

/// A thread that ends.
struct Last;

thread_local!(static LAST: Last = const { Last });

impl Drop for Last {
    fn drop(&mut self) {
        leave(true);
    }
}

fn leave(retired: bool) {
    let _ = HEAP.try_with(|h| {
        // SAFETY: no other reference to this thread's heap exists, and nothing below allocates through us.
        let heap = unsafe { &mut *h.get() };
        heap.set_aside();
        let tried = if retired { u64::MAX } else { 0 };
        let first = std::mem::replace(heap, Heap { live: heap.live, retired, tried, ..Heap::EMPTY }).free;
        // SAFETY: they are lists of free blocks, and nobody else's.
        let last = first.map(|first| unsafe { end_of(first, usize::MAX) });
        let mut left = left();
        for class in (0..CLASSES).filter(|class| !first[*class].is_null()) {
            // SAFETY: the last block of a list holds a null.
            unsafe { *last[class] = left.free[class] };
            left.free[class] = first[class];
        }
    });
}

/// The last of the first `most` blocks of a list, null if there is none.
///
/// # Safety
/// Each block of the list holds the next one's address, and the last one a null.
unsafe fn end_of(first: *mut u8, most: usize) -> *mut *mut u8 {
    let mut last = first.cast::<*mut u8>();
    for _ in 1..most {
        // SAFETY: it is a block of the list, if it is one at all.
        let next = if last.is_null() { null_mut() } else { unsafe { *last } };
        if next.is_null() {
            break;
        }
        last = next.cast();
    }
    last
}

/// What threads have left.
struct Left {
    free: [*mut u8; CLASSES],
    rests: *mut Rest,
}

/// The beginning of a chunk's rest of at least `REST` bytes.
struct Rest {
    next: *mut Rest,
    end: *mut u8,
}

// SAFETY: the blocks belong to no thread any more; the lock around the lists hands them to one.
unsafe impl Send for Left {}

static LEFT: Mutex<Left> = Mutex::new(Left { free: [null_mut(); CLASSES], rests: null_mut() });
static RESERVED: AtomicUsize = AtomicUsize::new(0);

fn left() -> MutexGuard<'static, Left> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct Allocator;

const CLASS: usize = 16;
/// The largest block of the fine classes, and of all.
const FINE: usize = 512;
const LARGEST: usize = 8192;
/// 0 is unused; then FINE / CLASS fine ones; then 1, 2, 4 and 8 KiB.
const CLASSES: usize = FINE / CLASS + 1 + 4;
const CHUNK: usize = 64 * 1024;
/// The smallest rest of a chunk that is kept as one; a smaller one becomes a block or two.
const REST: usize = 2 * FINE;
/// So many rests are looked at for one that is large enough.
const RESTS: usize = 8;
/// Of blocks that were left, a thread takes so many bytes at a time.
const BATCH: usize = 4096;
/// What freed memory is overwritten with, for zeal.
const DEAD: u8 = 0xdb;

struct Heap {
    free: [*mut u8; CLASSES],
    bump: *mut u8,
    end: *mut u8,
    live: isize,
    /// A bit for each class of which nothing had been left, by the time that the chunk was new.
    tried: u64,
    retired: bool,
}

thread_local! {
    static HEAP: UnsafeCell<Heap> =
        const { UnsafeCell::new(Heap::EMPTY) };
}

impl Heap {
    const EMPTY: Heap =
        Heap { free: [null_mut(); CLASSES], bump: null_mut(), end: null_mut(), live: 0, tried: 0, retired: false };

    /// A block of `class_size(class)` bytes.
    ///
    /// # Safety
    /// `class` is in 1..CLASSES.
    #[inline(always)]
    unsafe fn take(&mut self, class: usize) -> *mut u8 {
        // SAFETY: the class is in bounds by the caller's word; a listed block is free, ours, and holds the next one's address.
        unsafe {
            let head = self.free.get_unchecked_mut(class);
            let block = *head;
            if block.is_null() {
                return self.carve(class);
            }
            *head = *block.cast::<*mut u8>();
            block
        }
    }
    #[cold]
    #[inline(never)]
    fn carve(&mut self, class: usize) -> *mut u8 {
        if self.tried & 1 << class == 0 {
            let block = self.inherit(class);
            if !block.is_null() {
                return block;
            }
            self.tried |= 1 << class;
        }
        let size = class_size(class);
        if self.end.addr() - self.bump.addr() < size && !self.refill(size) {
            return null_mut();
        }
        let block = self.bump;
        // SAFETY: there is room for `size` bytes up to `end`.
        self.bump = unsafe { self.bump.add(size) };
        block
    }

    /// A block that was left, and some more on the (empty) list of its class. Null: there is none.
    fn inherit(&mut self, class: usize) -> *mut u8 {
        let mut left = left();
        let block = left.free[class];
        if !block.is_null() {
            // SAFETY: the blocks are nobody's while the lock is held; each holds the next one's address.
            unsafe {
                let last = end_of(block, BATCH / class_size(class));
                left.free[class] = last.replace(null_mut());
                self.free[class] = *block.cast();
            }
        }
        block
    }

    /// Room for `size` bytes, if the system has any.
    fn refill(&mut self, size: usize) -> bool {
        self.set_aside();
        if !self.retired {
            self.tried = 0;
            if self.take_rest(size) {
                return true;
            }
        }
        // (a thread that is about to end needs no more than this one)
        let room = if self.retired { size } else { CHUNK };
        // SAFETY: the size is small and not 0, the alignment a power of two.
        let chunk = unsafe { System.alloc(Layout::from_size_align_unchecked(room, 4096)) };
        if chunk.is_null() {
            return false;
        }
        RESERVED.fetch_add(room, Ordering::Relaxed);
        self.bump = chunk;
        // SAFETY: one past the end of the chunk.
        self.end = unsafe { chunk.add(room) };
        true
    }

    fn take_rest(&mut self, size: usize) -> bool {
        let mut left = left();
        let mut at = &raw mut left.rests;
        for _ in 0..RESTS {
            // SAFETY: rests are nobody's while the lock is held, and begin with a `Rest`.
            unsafe {
                let rest = *at;
                if rest.is_null() {
                    break;
                }
                if (*rest).end.addr() - rest.addr() >= size {
                    *at = (*rest).next;
                    (self.bump, self.end) = (rest.cast(), (*rest).end);
                    return true;
                }
                at = &raw mut (*rest).next;
            }
        }
        false
    }

    /// What is not used of the chunk, which is a multiple of `CLASS`, is for later.
    fn set_aside(&mut self) {
        let mut room = self.end.addr() - self.bump.addr();
        if room >= REST {
            let mut left = left();
            let rest = self.bump.cast::<Rest>();
            // SAFETY: it is large enough, aligned to CLASS, and nobody else's.
            unsafe { rest.write(Rest { next: left.rests, end: self.end }) };
            left.rests = rest;
            room = 0;
        }
        while room > 0 {
            let size = room.min(FINE);
            let head = &mut self.free[size / CLASS];
            // SAFETY: there are `size` bytes at `bump`, aligned to CLASS, and nobody else's.
            unsafe {
                *self.bump.cast::<*mut u8>() = *head;
                *head = self.bump;
                self.bump = self.bump.add(size);
            }
            room -= size;
        }
        (self.bump, self.end) = (null_mut(), null_mut());
    }
}

#[inline(always)]
fn class_of(layout: &Layout) -> Option<usize> {
    let size = layout.size();
    if layout.align() > CLASS || size > LARGEST || cfg!(feature = "zeal") {
        return None;
    }
    Some(if size <= FINE {
        size.div_ceil(CLASS).max(1)
    } else {
        // 513..=1024 is the first class after the fine ones, each further one is twice as large.
        FINE / CLASS + 1 + (usize::BITS - (size - 1).leading_zeros()) as usize - 10
    })
}

fn class_size(class: usize) -> usize {
    if class <= FINE / CLASS { class * CLASS } else { 1024 << (class - FINE / CLASS - 1) }
}

// SAFETY: blocks of a class are disjoint, CLASS-aligned, at least as large as asked for, and not handed out twice: they leave
// the list when taken. The thread-local has no destructor, so it can be used until the thread is gone.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.with(|h| {
            // SAFETY: no other reference to this thread's heap exists: nothing below allocates through us.
            let heap = unsafe { &mut *h.get() };
            heap.live += layout.size() as isize;
            match class_of(&layout) {
                // SAFETY: `class_of` gives valid classes.
                Some(class) => unsafe { heap.take(class) },
                // SAFETY: the caller's layout is passed on.
                None => unsafe { System.alloc(layout) },
            }
        })
    }
    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HEAP.with(|h| {
            // SAFETY: as in `alloc`.
            let heap = unsafe { &mut *h.get() };
            heap.live -= layout.size() as isize;
            match class_of(&layout) {
                // SAFETY: the block is free now, at least CLASS bytes large, and can hold a pointer.
                Some(class) => unsafe {
                    let head = heap.free.get_unchecked_mut(class);
                    *block.cast::<*mut u8>() = *head;
                    *head = block;
                },
                // SAFETY: blocks of this size came from the system, and are as large as their layouts say.
                None => unsafe {
                    if cfg!(feature = "zeal") {
                        block.write_bytes(DEAD, layout.size());
                    }
                    System.dealloc(block, layout);
                },
            }
        });
    }
    /// # Safety
    /// As `GlobalAlloc::realloc` asks: the block came from here, with this layout, and `size` is a valid one.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `size` is not zero and does not overflow when rounded up.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class_of(&layout), class_of(&wanted)) {
            (None, None) if !cfg!(feature = "zeal") => {
                HEAP.with(|h| {
                    // SAFETY: as in `alloc`.
                    unsafe { (*h.get()).live += size as isize - layout.size() as isize }
                });
                // SAFETY: the block came from the system with this layout.
                unsafe { System.realloc(block, layout, size) }
            }
            (Some(a), Some(b)) if a == b => {
                HEAP.with(|h| {
                    // SAFETY: as in `alloc`.
                    unsafe { (*h.get()).live += size as isize - layout.size() as isize }
                });
                block
            }
            // SAFETY: both blocks are valid for the smaller of the two sizes and do not overlap.
            _ => unsafe {
                let fresh = self.alloc(wanted);
                if !fresh.is_null() {
                    std::ptr::copy_nonoverlapping(block, fresh, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                fresh
            },
        }
    }
}

#[cfg(all(test, not(feature = "zeal")))]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_for() {
        for size in 0..=LARGEST {
            let Ok(layout) = Layout::from_size_align(size, 8) else { continue };
            let class = class_of(&layout).expect("no block of this size is the system's");
            assert!((1..CLASSES).contains(&class) && class_size(class) >= size, "{size} in class {class}");
            assert!(size <= FINE || class_size(class) < 2 * size, "{size} wastes class {class}");
        }
    }
}
