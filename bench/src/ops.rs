//! What each operation of ops.txt costs in machine instructions, counted by valgrind: figures that come out the same on a busy
//! machine, so that a review shows what a change has made dearer.
//!
//! A row's statement runs in a loop, few and many times; the difference, per round, less the empty loop's, is its cost.
//! Collection is part of what allocates.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use crate::peers::{self, BASE, Peer};

const FEW: u64 = 1000;
const MANY: u64 = 5000;
/// The row that is the loop itself.
const EMPTY: &str = "loop";

struct Operation<'t> {
    name: &'t str,
    setup: &'t str,
    statement: &'t str,
}

/// Writes `ops-instructions.txt`, or prints the wanted rows.
pub fn main(wanted: &[String]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let here = this.parent().unwrap_or(Path::new(".")).to_path_buf();
    crate::vm::build(root, &here)?;
    let text = std::fs::read_to_string(root.join("ops.txt")).map_err(|error| format!("ops.txt: {error}"))?;
    let operations = parse(&text)?;
    let peers: Vec<Peer> =
        peers::all(&here, &this).into_iter().filter(|peer| ["perilune", BASE].contains(&peer.name)).collect();
    let file = std::env::temp_dir().join(format!("perilune-bench-{}.lua", std::process::id()));
    let result = table(&operations, &peers, wanted, &file);
    let _ = std::fs::remove_file(&file);
    let table = result?;
    if wanted.is_empty() {
        let path = root.join("ops-instructions.txt");
        std::fs::write(&path, &table).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    print!("{table}");
    Ok(())
}

fn parse(text: &str) -> Result<Vec<Operation<'_>>, String> {
    let mut operations = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut cells = line.splitn(3, '|').map(str::trim);
        match (cells.next(), cells.next(), cells.next()) {
            (Some(name), Some(setup), Some(statement)) => operations.push(Operation { name, setup, statement }),
            _ => return Err(format!("ops.txt: {line}")),
        }
    }
    Ok(operations)
}

fn table(operations: &[Operation<'_>], peers: &[Peer], wanted: &[String], file: &Path) -> Result<String, String> {
    let mut out =
        format!("# machine instructions a round, counted by valgrind's callgrind; {BASE} beside\n{:<22}", "operation");
    for peer in peers {
        let _ = write!(out, "{:>12}", peer.name);
    }
    out.push_str("       ratio\n");
    let mut base = vec![0.0; peers.len()];
    for operation in operations {
        let is_base = operation.name == EMPTY;
        if !is_base && !wanted.is_empty() && !wanted.iter().any(|name| operation.name.contains(name.as_str())) {
            continue;
        }
        let mut costs = Vec::new();
        for (at, peer) in peers.iter().enumerate() {
            let cost = (count(peer, operation, MANY, file)? - count(peer, operation, FEW, file)?) / (MANY - FEW) as f64;
            if is_base {
                base[at] = cost;
            }
            costs.push(if is_base { cost } else { (cost - base[at]).max(0.0) });
        }
        let _ = write!(out, "{:<22}", operation.name);
        for cost in &costs {
            let _ = write!(out, "{cost:>12.0}");
        }
        match costs[..] {
            [ours, theirs] if theirs >= 1.0 => {
                let _ = writeln!(out, "{:>12.2}", ours / theirs);
            }
            _ => out.push_str("           -\n"),
        }
        eprint!(".");
    }
    eprintln!();
    Ok(out)
}

/// The instructions of a whole process that runs the statement so many times.
fn count(peer: &Peer, operation: &Operation<'_>, rounds: u64, file: &Path) -> Result<f64, String> {
    let program = format!("{}\nfor i = 1, {rounds} do {} end\n", operation.setup, operation.statement);
    std::fs::write(file, program).map_err(|error| format!("{}: {error}", file.display()))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(&peer.program)
        .args(&peer.args)
        .arg(file)
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let total = text.lines().find_map(|line| line.split("Collected : ").nth(1)).and_then(|n| n.trim().parse().ok());
    total.filter(|_| output.status.success()).ok_or_else(|| format!("{}: {}: {text}", peer.name, operation.name))
}
