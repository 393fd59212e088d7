//! Every program of bench/lua under every peer, CPU time against CPU time.
//!
//! Rounds are interleaved (peer after peer, then the next round), so that a machine whose clock wanders slows all of them alike;
//! a peer's time is its minimum, since noise only adds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::child::cpu_time;
use crate::peers::{self, BASE, Peer};
use crate::report::{self, Sample};

const LIMIT: Duration = Duration::from_secs(60);

pub fn main(args: &[String]) -> Result<(), String> {
    let (mut rounds, mut wanted) = (5, Vec::new());
    let mut args_left = args.iter();
    while let Some(arg) = args_left.next() {
        match arg.as_str() {
            "-r" => {
                let count = args_left.next().and_then(|count| count.parse().ok());
                rounds = count.filter(|count| *count > 0).ok_or("-r wants a number")?;
            }
            name => wanted.push(name.trim_end_matches(".lua").to_string()),
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let here = this.parent().unwrap_or(Path::new(".")).to_path_buf();
    build(root, &here)?;
    let programs = programs(&root.join("lua"), &wanted)?;
    let (peers, missing): (Vec<Peer>, Vec<Peer>) = peers::all(&here, &this).into_iter().partition(installed);
    for peer in missing {
        eprintln!("{} is not installed", peer.name);
    }
    let mut samples = Vec::new();
    for (name, path) in &programs {
        for round in 1..=rounds {
            for peer in &peers {
                let failed = |s: &Sample| s.program == *name && s.peer == peer.name && s.cpu_ns.is_err();
                if samples.iter().any(failed) {
                    continue;
                }
                let path = path.to_string_lossy();
                let mut args = peer.args.clone();
                args.push(&path);
                let cpu_ns = cpu_time(&peer.program, &args, LIMIT);
                samples.push(Sample { program: name.clone(), peer: peer.name, round, cpu_ns });
            }
        }
        eprint!("{name} ");
    }
    eprintln!();
    let names: Vec<&'static str> = peers.iter().map(|peer| peer.name).collect();
    let table = report::table(&samples, &names, BASE);
    print!("{table}");
    if wanted.is_empty() {
        let versions = peers.iter().map(version).collect::<Vec<_>>().join("; ");
        let path = report::write(&root.join("runs"), "vm", &versions, &table, &samples)?;
        println!("\nwritten to {}", path.display());
    }
    Ok(())
}

/// What is timed is the program as it ships, built beside this one.
pub fn build(root: &Path, here: &Path) -> Result<(), String> {
    let Some(cargo) = std::env::var_os("CARGO") else {
        let program = here.join("perilune");
        return if program.exists() { Ok(()) } else { Err(format!("{} is not there", program.display())) };
    };
    let manifest = root.join("../Cargo.toml");
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "-p", "perilune", "--manifest-path"])
        .arg(manifest)
        .status()
        .map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err("the build failed".to_string()) }
}

fn programs(directory: &Path, wanted: &[String]) -> Result<Vec<(String, PathBuf)>, String> {
    let entries = std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut found: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.strip_suffix(".lua")?.to_string();
            (wanted.is_empty() || wanted.contains(&name)).then_some((name, path))
        })
        .collect();
    found.sort();
    if found.is_empty() { Err("no such program".to_string()) } else { Ok(found) }
}

fn installed(peer: &Peer) -> bool {
    match peer.version {
        Some(flag) => Command::new(&peer.program).arg(flag).output().is_ok(),
        None => peer.program.exists(),
    }
}

fn version(peer: &Peer) -> String {
    let said = peer.version.and_then(|flag| Command::new(&peer.program).arg(flag).output().ok());
    let said = said.map(|out| [out.stdout, out.stderr].concat()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().next().unwrap_or("see Cargo.lock").split("  ").next().unwrap_or_default();
    format!("{} = {line}", peer.name)
}
