//! perilune's Lua machine: LuaJIT's dialect, stackless, fuel-metered, on an incremental collector.
//!
//! It has never heard of IO, clocks, tokio or HTTP. A host makes a [`Vm`], registers natives, loads chunks, and runs threads a
//! slice at a time; [`Step`] says why a slice ended. `vm/UNSAFE.md` lists the files that may hold unsafe code, and why.
pub mod code;
pub mod compile;
pub mod context;
mod heap;
mod interp;
pub mod lex;
pub mod native;
pub mod parse;
pub mod thread;
pub mod value;
mod vm;

pub use context::{Cx, Due, Meta, Stashed};
pub use heap::{Allocator, allocated};
pub use native::{Call, Native, Outcome, Parked, Reply, Row, Sequence, Until, Wait, What, row};
pub use thread::{Status, Thread, ThreadId};
pub use value::{Kind, Str, Table, Value, table::TableRef};
pub use vm::{Lent, Step, Vm, Wake};
