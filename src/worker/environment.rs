//! `env`: what the serving process keeps of its environment. As in nginx that is TZ and what `env` lines name; everything else is
//! gone for Lua and for the programs it starts.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::conf::tree::Main;

/// The program's own: how it calls itself, and marks that one process leaves for the next.
const OWN: [&str; 3] = ["PERILUNE_IDENTITY", "PERILUNE_DETACHED", "PERILUNE_TRACE"];
/// Set where the environment is as it is to be.
const MARK: &str = "PERILUNE_ENVIRONMENT";

/// The whole environment of a process that serves this configuration.
pub fn of(main: &Main) -> Vec<(OsString, OsString)> {
    let mut kept: Vec<(OsString, OsString)> = Vec::new();
    let mut keep = |name: &str, value: Option<OsString>| {
        if let Some(value) = value
            && !kept.iter().any(|(known, _)| known == name)
        {
            kept.push((name.into(), value));
        }
    };
    for (name, value) in &main.env {
        keep(name, value.as_ref().map_or_else(|| std::env::var_os(name), |value| Some(value.into())));
    }
    if !main.env.iter().any(|(name, _)| name == "TZ") {
        keep("TZ", std::env::var_os("TZ"));
    }
    OWN.iter().for_each(|name| keep(name, std::env::var_os(name)));
    keep(MARK, Some("1".into()));
    kept
}

/// In a process that serves without a parent: becomes the same program with that environment. Comes back where it is so already,
/// or where it cannot be.
pub fn restrict(main: &Main) -> std::io::Result<()> {
    if std::env::var_os(MARK).is_some() {
        return Ok(());
    }
    let mut again = Command::new("/proc/self/exe");
    if let Some(name) = std::env::args_os().next() {
        again.arg0(name);
    }
    Err(again.args(std::env::args_os().skip(1)).env_clear().envs(of(main)).exec())
}
