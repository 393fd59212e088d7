//! A piece of Lua from the configuration: what a `*_by_lua*` directive holds.
use std::path::PathBuf;
use std::sync::Arc;

/// One `*_by_lua*` directive's code. Immutable, shared by all workers; each worker's VM compiles it once, on first use.
#[derive(Debug)]
pub struct Code {
    /// Distinct within one configuration, counting from 0: the workers' caches are indexed by it.
    pub id: usize,
    pub source: Source,
    /// The chunk name: `=content_by_lua(nginx.conf:12)` for inline code, `@/path/file.lua` for files.
    pub chunk_name: Arc<[u8]>,
}

#[derive(Debug)]
pub enum Source {
    Inline(Arc<[u8]>),
    /// Absolute, after the prefix was put before a relative one. Read on first use (every time with lua_code_cache off).
    File(PathBuf),
}
