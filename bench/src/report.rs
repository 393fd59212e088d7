//! The table that is printed, and the file under bench/runs that keeps the raw figures with machine, command and date.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Sample {
    pub program: String,
    pub peer: &'static str,
    pub round: u32,
    pub cpu_ns: Result<u64, String>,
}

/// One line a program: the base's milliseconds, and each peer's time relative to it; below, the geometric means over the programs
/// that the peer can run at all.
pub fn table(samples: &[Sample], peers: &[&'static str], base: &str) -> String {
    let programs: BTreeSet<&str> = samples.iter().map(|sample| sample.program.as_str()).collect();
    let best = |program: &str, peer: &str| {
        let mine = samples.iter().filter(|sample| sample.program == program && sample.peer == peer);
        mine.filter_map(|sample| sample.cpu_ns.as_ref().ok().copied()).min()
    };
    let mut out = String::new();
    let mut line = |cells: &[String]| {
        for (at, cell) in cells.iter().enumerate() {
            let _ = if at == 0 { write!(out, "{cell:<16}") } else { write!(out, "{cell:>14}") };
        }
        out.push('\n');
    };
    let mut head = vec!["program".to_string(), format!("{base} ms")];
    head.extend(peers.iter().filter(|peer| **peer != base).map(ToString::to_string));
    line(&head);
    let mut logs = vec![Vec::new(); peers.len()];
    for program in programs {
        let Some(unit) = best(program, base) else { continue };
        let mut cells = vec![program.to_string(), format!("{:.1}", unit as f64 / 1e6)];
        for (at, peer) in peers.iter().enumerate().filter(|(_, peer)| **peer != base) {
            cells.push(match best(program, peer) {
                Some(time) => {
                    let ratio = time as f64 / unit as f64;
                    logs[at].push(ratio.ln());
                    format!("{ratio:.2}")
                }
                None => "-".to_string(),
            });
        }
        line(&cells);
    }
    let mut mean = vec!["geometric mean".to_string(), String::new()];
    let mut count = vec!["programs".to_string(), String::new()];
    for (at, _) in peers.iter().enumerate().filter(|(_, peer)| **peer != base) {
        mean.push(format!("{:.2}", (logs[at].iter().sum::<f64>() / logs[at].len().max(1) as f64).exp()));
        count.push(logs[at].len().to_string());
    }
    line(&mean);
    line(&count);
    out
}

/// Writes runs/KIND-DATE.txt.
pub fn write(directory: &Path, kind: &str, versions: &str, table: &str, samples: &[Sample]) -> Result<PathBuf, String> {
    let date = said("date", &["-u", "+%Y-%m-%d-%H%M"]);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!(
        "# date: {date} UTC\n# machine: {}, {cores} cores, {}\n# commit: {}\n# command: cargo run --release -p perilune-bench -- {}\n\
         # versions: {versions}\n# CPU time of whole processes, interleaved rounds; ratios of minima\n",
        model.unwrap_or("unknown processor"),
        said("uname", &["-sr"]),
        said("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]),
        std::env::args().skip(1).collect::<Vec<_>>().join(" "),
    );
    let _ = write!(text, "\n{table}\nprogram\tpeer\tround\tcpu_ns\n");
    for Sample { program, peer, round, cpu_ns } in samples {
        let figure = cpu_ns.as_ref().map_or_else(Clone::clone, ToString::to_string);
        let _ = writeln!(text, "{program}\t{peer}\t{round}\t{figure}");
    }
    let path = directory.join(format!("{kind}-{date}.txt"));
    std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

fn said(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output();
    out.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_string()).unwrap_or_default()
}
