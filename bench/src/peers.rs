//! What is timed: perilune and the implementations it is measured against, one row each.

use std::path::{Path, PathBuf};

/// How a peer is started; the Lua file comes last.
pub struct Peer {
    pub name: &'static str,
    pub program: PathBuf,
    pub args: Vec<&'static str>,
    /// Prints the version.
    pub version: Option<&'static str>,
}

/// The peer that the ratios are relative to.
pub const BASE: &str = "lua5.4";

/// `here`: the directory that this program and the server were built into.
pub fn all(here: &Path, this: &Path) -> Vec<Peer> {
    let command = |name, program: &str, args: &[&'static str]| Peer {
        name,
        program: PathBuf::from(program),
        args: args.to_vec(),
        version: Some("-v"),
    };
    vec![
        Peer { name: "perilune", program: here.join("perilune"), args: vec!["lua"], version: None },
        command(BASE, "lua5.4", &[]),
        command("luajit -joff", "luajit", &["-joff"]),
        command("luajit", "luajit", &[]),
        Peer { name: "piccolo", program: this.to_path_buf(), args: vec!["piccolo"], version: None },
    ]
}

/// Runs a file in the crate piccolo.
pub fn piccolo(file: &str) -> Result<(), String> {
    use piccolo::{Closure, Executor, Lua};
    let source = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    let mut lua = Lua::core();
    let executor = lua
        .try_enter(|ctx| {
            let closure = Closure::load(ctx, Some(file), &source[..])?;
            Ok(ctx.stash(Executor::start(ctx, closure.into(), ())))
        })
        .map_err(|error| error.to_string())?;
    lua.execute::<()>(&executor).map_err(|error| error.to_string())
}
