//! perilune's Lua machine: LuaJIT's dialect, stackless, fuel-metered, on an incremental collector.
//!
//! It has never heard of IO, clocks, tokio or HTTP. A host makes a [`Vm`], registers natives, loads chunks, and runs threads a
//! slice at a time; [`Step`] says why a slice ended. `vm/UNSAFE.md` lists the files that may hold unsafe code, and why.
//!
//! ```
//! use vm::{Call, Lent, Reply, Row, Step, Value, Vm, Wake, row};
//!
//! // A native is a row: its name, the function, what it is for.
//! static NATIVES: &[Row] = &[row("double", double, "double(n) -> twice as much")];
//!
//! fn double<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
//!     let n = call.number(0)?; // or Lua's own "bad argument #1 to 'double' (number expected, got ...)"
//!     call.ret(Value::num(2.0 * n))
//! }
//!
//! let vm = Vm::new();
//! vm.limit_memory(8 << 20);
//! let main = vm.enter(|cx| {
//!     cx.library("", NATIVES); // as globals
//!     let main = cx.load(b"local n = ... return double(n or 21)", b"=example", cx.globals());
//!     cx.stash(Value::closure(main.map_err(|e| cx.raw_tostring(e)).expect("it compiles")))
//! });
//! let thread = vm.start(&main);
//! loop {
//!     let mut fuel = 10_000; // about so many loop turns and calls
//!     match vm.run(thread, Wake::Go, Lent { host: &mut (), phase: 0, fuel: &mut fuel }) {
//!         Step::Done => break,
//!         Step::OutOfFuel => vm.collect(256.0), // others could have their turn here
//!         _ => panic!("it neither fails nor waits"),
//!     }
//! }
//! let results = vm.enter(|cx| {
//!     let (ok, values) = cx.thread(thread).and_then(|t| cx.results_of(t)).expect("it has ended");
//!     (ok, values[0].as_num())
//! });
//! assert_eq!(results, (true, Some(42.0)));
//! ```
//!
//! Where to look, for those who know another machine: the state is a [`Vm`], open as a [`Cx`] inside [`Vm::enter`]; a registry
//! reference is a [`Stashed`]; the executor is [`Vm::run`], which gives a [`Step`]; limits are [`Vm::limit_memory`] and the fuel that
//! each [`Lent`] slice brings; arguments are converted by [`Call`] ([`Call::number`], [`Call::bytes`], [`Call::table`],
//! [`Call::user`] ...); a table of functions is made by [`Cx::library`], a host object with methods as [`Call::user`] shows; a native
//! with a continuation is a [`Sequence`].
//!
//! What a native cannot do at once it returns as data: [`Outcome::park`] waits for a future, a [`Sequence`] calls a function and
//! goes on with its results. `examples/embed.rs` of the repository waits on tokio.
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
pub use heap::{Allocator, allocated, bequeath, pass_on, reserved};
pub use interp::hook::events;
pub use native::{Call, Native, Outcome, Parked, Reply, Row, Sequence, Until, Wait, What, row};
pub use thread::{Status, Thread, ThreadId};
pub use value::{Kind, Str, Table, Value, table::TableRef};
pub use vm::{Lent, Step, Vm, Wake};
