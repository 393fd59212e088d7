//! Lua's values: the boxed word, strings, tables, functions, numbers as text.
pub mod function;
pub mod number;
pub mod string;
pub mod table;
#[allow(clippy::module_inception)]
pub mod value;

pub use function::{Closure, Int64, Int64Data, NativeFn, Proto, Userdata, UserdataObj};
pub use string::Str;
pub use table::{Table, TableObj};
pub(crate) use value::weak;
pub use value::{Kind, Value};
