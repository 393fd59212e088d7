//! The directive tables: one file per nginx module, one row per directive (name, contexts, arity, what it does).
//!
//! The same name may have several rows when its meaning depends on the context (`server_name` never does, `if` does).

mod access;
mod body;
mod content;
pub use body::MapDraft as CharsetDraft;
mod core;
mod echo;
mod files;
mod geo;
pub use geo::{GeoDraft, SplitDraft};
mod gzip;
mod headers;
mod http_core;
mod limits;
mod listen;
pub use listen::resolve;
mod location;
mod log;
mod lua;
pub mod lua_ssl;
mod map;
mod rewrite;
mod set_misc;
mod userid;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::build::{Builder, Directive};
use super::settings::Settings;

pub struct Row {
    pub name: &'static str,
    /// `context::*` bits in which it may stand.
    pub at: u32,
    /// `arity::*` bits.
    pub args: u32,
    pub block: Block,
    pub set: fn(&mut Builder, &Directive) -> Result<(), String>,
}

#[derive(Clone, Copy)]
pub enum Block {
    /// Ends with `;`.
    No,
    /// Directives of another context inside.
    Open { inner: u32, leave: fn(&mut Builder) -> Result<(), String> },
    /// Free-form lines inside (`types`, `map`).
    Items { item: fn(&mut Builder, &Directive) -> Result<(), String>, leave: fn(&mut Builder) -> Result<(), String> },
    /// Lua inside.
    Lua,
}

impl Block {
    pub fn is_block(&self) -> bool {
        !matches!(self, Block::No)
    }
}

/// Where a directive may stand.
pub mod context {
    pub const MAIN: u32 = 1;
    pub const EVENTS: u32 = 1 << 1;
    pub const HTTP: u32 = 1 << 2;
    pub const SERVER: u32 = 1 << 3;
    pub const LOCATION: u32 = 1 << 4;
    pub const SERVER_IF: u32 = 1 << 5;
    pub const LOCATION_IF: u32 = 1 << 6;
    pub const LIMIT_EXCEPT: u32 = 1 << 7;
    /// http, server and location: where most settings stand.
    pub const ALL: u32 = HTTP | SERVER | LOCATION;
    /// ... and in `if` inside of a location.
    pub const ALL_IF: u32 = ALL | LOCATION_IF;
    pub const RULES: u32 = SERVER | SERVER_IF | LOCATION | LOCATION_IF;
}

/// How many arguments a directive takes.
pub mod arity {
    pub const NONE: u32 = 1;
    pub const ONE: u32 = 1 << 1;
    pub const TWO: u32 = 1 << 2;
    pub const THREE: u32 = 1 << 3;
    pub const FOUR: u32 = 1 << 4;
    pub const ONE_MORE: u32 = !NONE;
    pub const TWO_MORE: u32 = !(NONE | ONE);
    pub const ANY: u32 = !0;

    pub fn fits(args: u32, count: usize) -> bool {
        let bit = u32::try_from(count).unwrap_or(31).min(31);
        args & (1 << bit) != 0
    }
}

/// All rows of that name.
pub fn find(name: &str) -> &'static [&'static Row] {
    static INDEX: LazyLock<HashMap<&'static str, Vec<&'static Row>>> = LazyLock::new(|| {
        let mut index: HashMap<&'static str, Vec<&'static Row>> = HashMap::new();
        for row in TABLES.iter().copied().flatten() {
            index.entry(row.name).or_default().push(row);
        }
        index
    });
    INDEX.get(name).map_or(&[], Vec::as_slice)
}

/// Every row there is.
pub static TABLES: &[&[Row]] = &[
    core::ROWS,
    http_core::ROWS,
    location::ROWS,
    log::ROWS,
    files::ROWS,
    rewrite::ROWS,
    set_misc::SETTINGS,
    set_misc::ROWS,
    headers::ROWS,
    access::ROWS,
    limits::ROWS,
    geo::ROWS,
    content::ROWS,
    gzip::ROWS,
    body::ROWS,
    userid::ROWS,
    map::ROWS,
    echo::ROWS,
    lua::ROWS,
    lua_ssl::ROWS,
];

const fn row(name: &'static str, at: u32, args: u32, set: fn(&mut Builder, &Directive) -> Result<(), String>) -> Row {
    Row { name, at, args, block: Block::No, set }
}

/// Accepted and without effect: what it tunes does not exist here, or is always so.
fn nothing(_: &mut Builder, _: &Directive) -> Result<(), String> {
    Ok(())
}

/// Accepted like `nothing`, with an on/off argument that is checked.
fn nothing_flag(_: &mut Builder, d: &Directive) -> Result<(), String> {
    super::build::on_off(d).map(drop)
}

/// The one argument as one of a few words.
fn choose<T: Clone>(d: &Directive, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| word.as_bytes() == d.arg(0));
    match found {
        Some((_, value)) => Ok(value.clone()),
        None => Err(format!("invalid value \"{}\"", d.text(0))),
    }
}

/// A `*_types` directive: MIME types beside the default ones.
fn types(b: &mut Builder, d: &Directive, slot: fn(&mut Settings) -> &mut Option<Arc<[Vec<u8>]>>) -> Result<(), String> {
    let mut all = slot(b.settings()).as_deref().unwrap_or_default().to_vec();
    all.extend(d.args().iter().map(|word| word.to_ascii_lowercase()));
    *slot(b.settings()) = Some(Arc::from(all));
    Ok(())
}
