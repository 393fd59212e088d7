//! What this crate keeps with each request between natives: opaque to the server.

#[derive(Debug, Default)]
pub struct LuaState {}
