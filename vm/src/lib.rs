//! perilune's Lua machine.
pub mod code;
