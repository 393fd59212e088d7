//! How much room a zone has: nginx's slab allocator, as arithmetic.
//!
//! A `lua_shared_dict` of 1 MB must hold what 1 MB holds in nginx, run full when nginx's runs full and report the same
//! `free_space()`. So a zone accounts for its entries with nginx's own rules (`ngx_slab.c`), while the bytes
//! themselves live on the ordinary heap:
//! - the zone starts with the pool's bookkeeping (704 bytes and 24 a page), the rest is 4096-byte pages;
//! - an allocation of up to 2048 bytes is rounded up to a power of two (8 at least) and shares a page with others of
//!   its size class; below 64 bytes part of the page is the bitmap of its slots;
//! - a larger one takes a run of whole pages, first fit, so a fragmented zone can refuse it;
//! - a page whose last slot is freed goes back to the free runs, joined with its neighbours.
//!
//! What must stay true: `free_pages` is the sum of the free runs, and every `Span` given out is freed exactly once.

/// The page size that the accounting assumes, in bytes.
pub const PAGE: usize = 4096;

/// Room taken by one allocation: the first page it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// First page of a free run of `len` pages, a member of the list of free runs.
    Free { len: u32, next: u32, prev: u32 },
    /// Last page of a free run longer than one page.
    FreeTail { head: u32 },
    /// Inside a free run, or a later page of a large allocation. Carries nothing.
    Inner,
    /// First page of a large allocation.
    Large { len: u32 },
    /// Slots of one size class; linked into its class's list while it has a free slot.
    Slots { class: u8, used: u16, next: u32, prev: u32 },
}

/// The accounting of one zone. All sizes are in bytes.
#[derive(Debug)]
pub struct Slab {
    pages: Vec<Page>,
    free_head: u32,
    free_pages: usize,
    /// First page with a free slot, for each size class 8, 16 ... 2048.
    class_head: [u32; CLASSES],
}

impl Slab {
    /// A pool over `bytes` bytes of zone.
    pub fn new(bytes: usize) -> Slab {
        let fixed = POOL_HEADER + CLASSES * (PAGE_HEADER + CLASS_STATS);
        let mut pages = bytes.saturating_sub(fixed) / (PAGE + PAGE_HEADER);
        let start = (fixed + pages * PAGE_HEADER).next_multiple_of(PAGE);
        pages = pages.min(bytes.saturating_sub(start) / PAGE).min(NONE as usize - 1);
        let mut slab =
            Slab { pages: vec![Page::Inner; pages], free_head: NONE, free_pages: 0, class_head: [NONE; CLASSES] };
        if pages > 0 {
            slab.insert_run(0, pages as u32);
            slab.free_pages = pages;
        }
        slab
    }

    /// Whole free pages, in bytes: what `free_space()` reports.
    pub fn free_space(&self) -> usize {
        self.free_pages * PAGE
    }

    /// Takes room for `size` bytes, or `None` when there is none.
    pub fn alloc(&mut self, size: usize) -> Option<Span> {
        if size > MAX_SLOT {
            return self.alloc_pages(size.div_ceil(PAGE)).map(Span);
        }
        let class = class_of(size);
        let page = match self.class_head[class] {
            NONE => {
                let page = self.alloc_pages(1)?;
                self.pages[page as usize] = Page::Slots { class: class as u8, used: 0, next: NONE, prev: NONE };
                self.class_head[class] = page;
                page
            }
            page => page,
        };
        if let Page::Slots { used, .. } = &mut self.pages[page as usize] {
            *used += 1;
            if *used == capacity(class) {
                self.unlink_class_page(page);
            }
        }
        Some(Span(page))
    }

    /// Gives back what `alloc` gave.
    pub fn free(&mut self, span: Span) {
        let page = span.0;
        match self.pages[page as usize] {
            Page::Large { len } => self.free_pages(page, len),
            Page::Slots { class, used, .. } => {
                let was_full = used == capacity(class as usize);
                if let Page::Slots { used, .. } = &mut self.pages[page as usize] {
                    *used -= 1;
                }
                if was_full {
                    self.link_class_page(page, class as usize);
                }
                if used == 1 {
                    self.unlink_class_page(page);
                    self.free_pages(page, 1);
                }
            }
            Page::Free { .. } | Page::FreeTail { .. } | Page::Inner => debug_assert!(false, "freed twice"),
        }
    }

    fn alloc_pages(&mut self, want: usize) -> Option<u32> {
        let want = u32::try_from(want).ok()?;
        let mut at = self.free_head;
        while at != NONE {
            let Page::Free { len, next, prev } = self.pages[at as usize] else { return None };
            if len < want {
                at = next;
                continue;
            }
            if len == want {
                self.unlink_run(at);
            } else {
                // The rest of the run takes the run's place in the list.
                let rest = at + want;
                self.pages[rest as usize] = Page::Free { len: len - want, next, prev };
                self.mark_tail(rest, len - want);
                self.relink_run(prev, next, rest);
            }
            self.pages[at as usize] = Page::Large { len: want };
            for page in &mut self.pages[at as usize + 1..(at + want) as usize] {
                *page = Page::Inner;
            }
            self.free_pages -= want as usize;
            return Some(at);
        }
        None
    }

    fn free_pages(&mut self, first: u32, len: u32) {
        self.free_pages += len as usize;
        let (mut first, mut len) = (first, len);
        let after = first + len;
        if let Some(Page::Free { len: more, .. }) = self.pages.get(after as usize).copied() {
            self.unlink_run(after);
            self.pages[after as usize] = Page::Inner;
            len += more;
        }
        let before = first.checked_sub(1).and_then(|last| match self.pages[last as usize] {
            Page::Free { .. } => Some(last),
            Page::FreeTail { head } => Some(head),
            _ => None,
        });
        if let Some(head) = before {
            self.unlink_run(head);
            self.pages[first as usize] = Page::Inner;
            len += first - head;
            first = head;
        }
        self.insert_run(first, len);
    }

    /// Puts a run at the head of the list of free runs.
    fn insert_run(&mut self, first: u32, len: u32) {
        let next = self.free_head;
        self.pages[first as usize] = Page::Free { len, next, prev: NONE };
        self.mark_tail(first, len);
        self.relink_run(NONE, next, first);
    }

    fn mark_tail(&mut self, first: u32, len: u32) {
        if len > 1 {
            self.pages[(first + len - 1) as usize] = Page::FreeTail { head: first };
        }
    }

    fn unlink_run(&mut self, at: u32) {
        if let Page::Free { len, next, prev } = self.pages[at as usize] {
            if len > 1 {
                self.pages[(at + len - 1) as usize] = Page::Inner;
            }
            match prev {
                NONE => self.free_head = next,
                _ => self.set_run_next(prev, next),
            }
            if next != NONE {
                self.set_run_prev(next, prev);
            }
        }
    }

    /// Makes `run` the neighbour of both `prev` and `next`.
    fn relink_run(&mut self, prev: u32, next: u32, run: u32) {
        match prev {
            NONE => self.free_head = run,
            _ => self.set_run_next(prev, run),
        }
        if next != NONE {
            self.set_run_prev(next, run);
        }
    }

    fn set_run_next(&mut self, at: u32, to: u32) {
        if let Page::Free { next, .. } = &mut self.pages[at as usize] {
            *next = to;
        }
    }

    fn set_run_prev(&mut self, at: u32, to: u32) {
        if let Page::Free { prev, .. } = &mut self.pages[at as usize] {
            *prev = to;
        }
    }

    fn link_class_page(&mut self, page: u32, class: usize) {
        let old = self.class_head[class];
        if let Page::Slots { next, prev, .. } = &mut self.pages[page as usize] {
            (*next, *prev) = (old, NONE);
        }
        if old != NONE
            && let Page::Slots { prev, .. } = &mut self.pages[old as usize]
        {
            *prev = page;
        }
        self.class_head[class] = page;
    }

    fn unlink_class_page(&mut self, page: u32) {
        let Page::Slots { class, next: after, prev: before, .. } = self.pages[page as usize] else { return };
        if before == NONE {
            self.class_head[class as usize] = after;
        } else if let Page::Slots { next, .. } = &mut self.pages[before as usize] {
            *next = after;
        }
        if after != NONE
            && let Page::Slots { prev, .. } = &mut self.pages[after as usize]
        {
            *prev = before;
        }
    }
}

/// The size class: 0 for up to 8 bytes, 8 for up to 2048.
fn class_of(size: usize) -> usize {
    (size.max(1 << MIN_SHIFT).next_power_of_two().trailing_zeros() - MIN_SHIFT) as usize
}

/// Usable slots of a page of this class: small ones lose the slots that hold the page's bitmap.
fn capacity(class: usize) -> u16 {
    let slot = 8usize << class;
    let slots = PAGE / slot;
    let bitmap = if slot < EXACT { (slots / (slot * 8)).max(1) } else { 0 };
    (slots - bitmap) as u16
}

const NONE: u32 = u32::MAX;
const MIN_SHIFT: u32 = 3;
const CLASSES: usize = 9;
const MAX_SLOT: usize = PAGE / 2;
/// The class whose bitmap fits one machine word.
const EXACT: usize = 64;
const POOL_HEADER: usize = 200;
const PAGE_HEADER: usize = 24;
const CLASS_STATS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `+SIZE` (allocate; `!` when refused) and `-N` (free the Nth span), and shows the free pages after each.
    fn check(bytes: usize, script: &str, expected: &str) {
        let mut slab = Slab::new(bytes);
        let mut spans = Vec::new();
        let mut out = vec![format!("{}", slab.free_space() / PAGE)];
        for word in script.split_whitespace() {
            let n: usize = word[1..].parse().unwrap();
            let mut refused = "";
            if word.starts_with('+') {
                match slab.alloc(n) {
                    Some(span) => spans.push(span),
                    None => refused = "!",
                }
            } else {
                slab.free(spans[n]);
            }
            out.push(format!("{}{refused}", slab.free_space() / PAGE));
        }
        assert_eq!(out.join(" "), expected, "{script}");
    }

    #[test]
    fn pages_come_and_go() {
        check(12 * 1024, "+80 +31 +8", "2 1 0 0!");
        check(16 * 1024, "+80 +80 -0 -1", "3 2 2 2 3");
        check(64 * 1024, "+5000 +5000 -0 +4096 +8000 +4097", "15 13 11 13 12 10 8");
        // Freed neighbours join: three runs become one that holds all.
        check(20 * 1024, "+4096 +4096 +4096 +4096 -0 -2 +8192 -1 +12288", "4 3 2 1 0 1 2 2! 3 0");
        check(0, "+1", "0 0!");
    }

    #[test]
    fn small_slots_pay_for_their_bitmap() {
        let full: Vec<u16> = (0..CLASSES).map(capacity).collect();
        assert_eq!(full, [504, 254, 127, 64, 32, 16, 8, 4, 2]);
    }
}
