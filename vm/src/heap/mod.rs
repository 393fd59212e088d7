//! Memory: the allocator and its counter, and when to collect.
mod alloc;
mod zeal;

pub use alloc::{Allocator, allocated, bequeath, pass_on, reserved};
pub(crate) use zeal::{Turn, Zeal};
