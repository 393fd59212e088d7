//! A thread-local free-list allocator over the system's, with an exact count of the bytes its thread has allocated.
//!
//! Small blocks (up to 512 bytes) come in classes of 16 bytes, middling ones (up to 8 KiB: buffers, futures) in powers of two, from
//! 64 KiB chunks that are never given back; a block that is freed on another thread joins that thread's list. Larger ones are the
//! system's. A binary opts in with `#[global_allocator]`. A thread that ends can leave its blocks to the next one (`retire`).
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

/// Bytes allocated minus bytes freed by this thread since it began (0 unless [`Allocator`] is the global allocator).
/// Negative on a thread that frees what others allocated.
#[inline]
pub fn allocated() -> isize {
    // SAFETY: the reference does not leave the closure, which calls nothing.
    HEAP.try_with(|h| unsafe { (*h.get()).live }).unwrap_or(0)
}

/// The last thing a thread does that came and goes with its work: a thread that begins takes its free blocks over. What is still
/// allocated and freed by the thread's own end is lost, a few blocks.
pub fn retire() {
    let _ = HEAP.try_with(|h| {
        // SAFETY: no other reference to this thread's heap exists, and nothing below allocates through us.
        let heap = unsafe { &mut *h.get() };
        // SAFETY: the class is one of the fine ones: `Spare` is checked to fit.
        let spare = unsafe { heap.take(SPARE_CLASS) }.cast::<Spare>();
        if spare.is_null() || heap.retired {
            return;
        }
        let live = heap.live;
        let left = std::mem::replace(heap, Heap { live, retired: true, ..Heap::EMPTY });
        let mut spares = SPARES.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the block is large enough, aligned to CLASS, and nobody else's.
        unsafe { spare.write(Spare { heap: left, next: spares.0 }) };
        spares.0 = spare;
    });
}

/// What a thread left behind, in one of its own blocks.
struct Spare {
    heap: Heap,
    next: *mut Spare,
}

struct Spares(*mut Spare);

// SAFETY: the blocks belong to no thread any more; the lock around the list hands them to one.
unsafe impl Send for Spares {}

static SPARES: Mutex<Spares> = Mutex::new(Spares(null_mut()));

const SPARE_CLASS: usize = size_of::<Spare>().div_ceil(CLASS);
const _: () = assert!(size_of::<Spare>() <= FINE && align_of::<Spare>() <= CLASS);

pub struct Allocator;

const CLASS: usize = 16;
/// The largest block of the fine classes, and of all.
const FINE: usize = 512;
const LARGEST: usize = 8192;
/// 0 is unused; then FINE / CLASS fine ones; then 1, 2, 4 and 8 KiB.
const CLASSES: usize = FINE / CLASS + 1 + 4;
const CHUNK: usize = 64 * 1024;
/// What freed memory is overwritten with, for zeal.
const DEAD: u8 = 0xdb;

struct Heap {
    free: [*mut u8; CLASSES],
    bump: *mut u8,
    end: *mut u8,
    live: isize,
    retired: bool,
}

thread_local! {
    static HEAP: UnsafeCell<Heap> =
        const { UnsafeCell::new(Heap::EMPTY) };
}

impl Heap {
    const EMPTY: Heap =
        Heap { free: [null_mut(); CLASSES], bump: null_mut(), end: null_mut(), live: 0, retired: false };

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
        if self.bump.is_null() && self.adopt() {
            // SAFETY: the class is valid, as it was before. (There is a chunk now, so this ends.)
            return unsafe { self.take(class) };
        }
        let size = class_size(class);
        if self.end.addr() - self.bump.addr() < size {
            // (a thread that is about to end needs no more than this one)
            let room = if self.retired { size } else { CHUNK };
            // SAFETY: the size is small and not 0, the alignment a power of two.
            let chunk = unsafe { System.alloc(Layout::from_size_align_unchecked(room, 4096)) };
            if chunk.is_null() {
                return chunk;
            }
            self.bump = chunk;
            // SAFETY: one past the end of the chunk.
            self.end = unsafe { chunk.add(room) };
        }
        let block = self.bump;
        // SAFETY: there is room for `size` bytes up to `end`.
        self.bump = unsafe { self.bump.add(size) };
        block
    }
}

impl Heap {
    /// A thread that begins goes on with the blocks of one that ended, if there are any.
    fn adopt(&mut self) -> bool {
        if self.retired {
            return false;
        }
        let mut spares = SPARES.lock().unwrap_or_else(PoisonError::into_inner);
        let spare = spares.0;
        if spare.is_null() {
            return false;
        }
        // SAFETY: the list holds blocks with a `Spare` each, written by `retire`; this one leaves it here, and its block joins the
        // list of its class.
        unsafe {
            let Spare { heap, next } = spare.read();
            spares.0 = next;
            let live = self.live;
            *self = Heap { live, ..heap };
            let head = self.free.get_unchecked_mut(SPARE_CLASS);
            *spare.cast::<*mut u8>() = *head;
            *head = spare.cast();
        }
        true
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
