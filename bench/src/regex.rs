//! The regular expressions of bench/regex/table.txt, here and in PCRE2, CPU time against CPU time.
//!
//! PCRE2 is an outside program (bench/regex/pcre2.c), built with gcc when the benchmark starts. Rounds are interleaved and a row's
//! time is its minimum; both sides must find the same places, or the row fails. The table's two classes have a mean each: patterns
//! without backtracking features against PCRE2's JIT, the others against its interpreter.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ngx::regex::{Captures, Flags, Regex};
use rustix::time::{ClockId, clock_gettime};

use crate::report::{self, Sample};

/// What a row of one round should take.
const SPAN: Duration = Duration::from_millis(30);
const HERE: &str = "perilune";
const JIT: &str = "pcre2-jit";
const INTERPRETER: &str = "pcre2";

struct Row {
    name: String,
    /// Has backtracking features.
    full: bool,
    options: String,
    pattern: Vec<u8>,
    subject: Vec<u8>,
    all: bool,
}

/// `[-r ROUNDS] [ROW ...]`; without names, the figures are also written to bench/runs.
pub fn main(args: &[String]) -> Result<(), String> {
    let (mut rounds, mut wanted) = (7, Vec::new());
    let mut left = args.iter();
    while let Some(arg) = left.next() {
        match arg.as_str() {
            "-r" => rounds = left.next().and_then(|count| count.parse().ok()).ok_or("-r wants a number")?,
            name => wanted.push(name),
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("regex/table.txt")).map_err(|error| format!("table.txt: {error}"))?;
    let mut rows = parse(&text)?;
    rows.retain(|row| wanted.is_empty() || wanted.iter().any(|name| row.name.contains(*name)));
    let peer = Pcre2::build(root)?;
    let counts: Vec<u64> = rows.iter().map(iterations).collect::<Result<_, _>>()?;
    let mut samples = Vec::new();
    for round in 1..=rounds {
        let jit = peer.run("jit", &rows, &counts)?;
        let interpreter = peer.run("interpreter", &rows, &counts)?;
        for (at, (row, count)) in rows.iter().zip(&counts).enumerate() {
            let (time, sum) = search(row, *count)?;
            let cells =
                [(HERE, time, sum), (JIT, jit[at].0, jit[at].1), (INTERPRETER, interpreter[at].0, interpreter[at].1)];
            for (peer, time, other) in cells {
                let cpu_ns = if other == sum { Ok(time / count) } else { Err("other places".to_string()) };
                samples.push(Sample { program: row.name.clone(), peer, round, cpu_ns });
            }
        }
        eprint!(".");
    }
    eprintln!();
    let table = table(&rows, &samples);
    print!("{table}");
    if wanted.is_empty() {
        let path = report::write(&root.join("runs"), "regex", &format!("pcre2 = {}", peer.version), &table, &samples)?;
        println!("\nwritten to {}", path.display());
    }
    Ok(())
}

fn parse(text: &str) -> Result<Vec<Row>, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            // `|` inside of a cell is written `\|`.
            let cells = line.replace("\\|", "\u{1}");
            let cells: Vec<String> = cells.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect();
            let [name, class, options, pattern, subject] = &cells[..] else { return Err(format!("table.txt: {line}")) };
            Ok(Row {
                name: name.clone(),
                full: class == "full",
                options: options.replace('g', ""),
                pattern: pattern.clone().into_bytes(),
                subject: expand(subject),
                all: options.contains('g'),
            })
        })
        .collect()
}

/// A subject as it is written: `filler{{COUNT}}rest`, with escapes.
fn expand(cell: &str) -> Vec<u8> {
    let repeated = cell.split_once("{{").and_then(|(filler, rest)| {
        let (count, rest) = rest.split_once("}}")?;
        Some(filler.repeat(count.parse().ok()?) + rest)
    });
    let text = repeated.unwrap_or_else(|| cell.to_string());
    let escapes = [("\\\\", "\u{1}"), ("\\n", "\n"), ("\\t", "\t"), ("\\s", " "), ("\u{1}", "\\")];
    escapes.iter().fold(text, |text, (from, to)| text.replace(from, to)).into_bytes()
}

fn flags(options: &str) -> Flags {
    let has = |letter| options.contains(letter);
    Flags {
        caseless: has('i'),
        multiline: has('m'),
        dotall: has('s'),
        extended: has('x'),
        anchored: has('a'),
        utf: has('u'),
        ..Flags::default()
    }
}

/// Iterations that take about `SPAN` here.
fn iterations(row: &Row) -> Result<u64, String> {
    let mut count = 1;
    loop {
        let (time, _) = search(row, count)?;
        if time > 2_000_000 {
            return Ok((SPAN.as_nanos() as u64 * count / time).max(1));
        }
        count *= 4;
    }
}

/// CPU nanoseconds of so many searches, and the checksum that pcre2.c forms.
fn search(row: &Row, count: u64) -> Result<(u64, u64), String> {
    let regex = Regex::compile(&row.pattern, flags(&row.options)).map_err(|error| format!("{}: {error}", row.name))?;
    let mut captures = Captures::new();
    let (begun, mut sum) = (now(), 0u64);
    for _ in 0..count {
        let mut from = 0;
        sum = 0;
        while from <= row.subject.len() {
            let found = regex.exec(&row.subject, from, &mut captures, 0);
            if !found.map_err(|error| format!("{}: {error}", row.name))? {
                break;
            }
            for group in 0..regex.captures_len() {
                let (start, end) = captures.span(group).map_or((0, 0), |(start, end)| (start + 1, end + 1));
                sum = sum.wrapping_mul(31).wrapping_add(start as u64).wrapping_mul(31).wrapping_add(end as u64);
            }
            if !row.all {
                break;
            }
            let (start, end) = captures.span(0).unwrap_or_default();
            from = if end > start { end } else { end + 1 };
        }
    }
    Ok((now() - begun, sum))
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

struct Pcre2 {
    program: PathBuf,
    version: String,
}

impl Pcre2 {
    fn build(root: &Path) -> Result<Pcre2, String> {
        let program = std::env::temp_dir().join(format!("perilune-bench-pcre2-{}", std::process::id()));
        let mut gcc = Command::new("gcc");
        let status = gcc.args(["-O2", "-o"]).arg(&program).arg(root.join("regex/pcre2.c")).arg("-lpcre2-8").status();
        if !status.is_ok_and(|status| status.success()) {
            return Err("gcc and PCRE2's headers (libpcre2-dev) are needed".to_string());
        }
        let version = Command::new(&program).arg("version").output().map_err(|error| error.to_string())?;
        Ok(Pcre2 { program, version: String::from_utf8_lossy(&version.stdout).trim().to_string() })
    }

    /// Time and checksum of every row.
    fn run(&self, mode: &str, rows: &[Row], counts: &[u64]) -> Result<Vec<(u64, u64)>, String> {
        let hex = |bytes: &[u8]| match bytes {
            [] => "-".to_string(),
            _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        let mut input = String::new();
        for (row, count) in rows.iter().zip(counts) {
            let options = if row.options.is_empty() { "-" } else { &row.options };
            let (pattern, subject) = (hex(&row.pattern), hex(&row.subject));
            let _ = writeln!(input, "{options} {pattern} {subject} {} {count}", u8::from(row.all));
        }
        let mut command = Command::new(&self.program);
        let mut child =
            command.arg(mode).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
        let mut stdin = child.stdin.take().ok_or("no pipe")?;
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let _ = writer.join();
        let text = String::from_utf8_lossy(&output.stdout);
        let cells: Vec<(u64, u64)> = text
            .lines()
            .filter_map(|line| {
                let (time, sum) = line.split_once(' ')?;
                Some((time.parse().ok()?, u64::from_str_radix(sum, 16).ok()?))
            })
            .collect();
        if cells.len() == rows.len() { Ok(cells) } else { Err(format!("pcre2.c answered {} rows", cells.len())) }
    }
}

impl Drop for Pcre2 {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.program);
    }
}

fn table(rows: &[Row], samples: &[Sample]) -> String {
    let best = |row: &Row, peer: &str| {
        let mine = samples.iter().filter(|sample| sample.program == row.name && sample.peer == peer);
        mine.map(|sample| sample.cpu_ns.as_ref().ok().copied()).min().flatten()
    };
    let mut out = format!("{:<18}{:>10}{:>12}{:>10}{:>8}{:>8}\n", "row", "ns", JIT, INTERPRETER, "/jit", "/interp");
    for full in [false, true] {
        let mut logs: [Vec<f64>; 2] = Default::default();
        for row in rows.iter().filter(|row| row.full == full) {
            let (Some(mine), Some(jit), Some(plain)) = (best(row, HERE), best(row, JIT), best(row, INTERPRETER)) else {
                let _ = writeln!(out, "{:<18} finds other places than PCRE2", row.name);
                continue;
            };
            let ratios = [mine as f64 / jit as f64, mine as f64 / plain as f64];
            let _ = writeln!(out, "{:<18}{mine:>10}{jit:>12}{plain:>10}{:>8.2}{:>8.2}", row.name, ratios[0], ratios[1]);
            logs.iter_mut().zip(ratios).for_each(|(logs, ratio)| logs.push(ratio.ln()));
        }
        let mean = |logs: &[f64]| (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp();
        let name = if full { "with backtracking features" } else { "without backtracking features" };
        let _ = writeln!(
            out,
            "geometric mean of {} rows {name}: {:.2} of PCRE2's JIT, {:.2} of its interpreter\n",
            logs[0].len(),
            mean(&logs[0]),
            mean(&logs[1])
        );
    }
    out
}
