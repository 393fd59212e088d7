//! Memory: the allocator and its counter, and when to collect.
mod alloc;

pub use alloc::{Allocator, allocated, retire};
