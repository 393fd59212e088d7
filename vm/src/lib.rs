//! perilune's Lua machine.
pub mod code;
pub mod compile;
pub mod lex;
pub mod parse;
