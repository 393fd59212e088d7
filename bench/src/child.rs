//! Runs a program to its end and says how much CPU time it took.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// Nanoseconds of CPU time of the program's main thread, user and system. (Each of the peers has that thread only.)
///
/// Read from schedstat after the program has ended and before it is reaped: exact, where `times` counts in ticks of 10 ms.
pub fn cpu_time(program: &Path, args: &[&str], limit: Duration) -> Result<u64, String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let deadline = Instant::now() + limit;
    let pid = Pid::from_child(&child);
    loop {
        let ended = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG);
        match ended.map_err(|error| error.to_string())? {
            Some(_) => break,
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("over {} s", limit.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    let text = std::fs::read_to_string(format!("/proc/{}/schedstat", child.id()));
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err("failed".to_string());
    }
    let text = text.map_err(|error| format!("schedstat: {error}"))?;
    text.split(' ').next().and_then(|word| word.parse().ok()).ok_or_else(|| "schedstat: no number".to_string())
}
