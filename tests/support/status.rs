//! Reads a server's `perilune_status` page at `/status`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{PATIENCE, Server};

/// The text form, line by line.
pub struct Status(BTreeMap<String, u64>);

impl Status {
    pub fn of(server: &Server) -> Status {
        let text = server.body("/status?format=text");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Status(lines.filter_map(|line| line.rsplit_once(' ')).map(|(k, v)| (k.into(), v.parse().unwrap())).collect())
    }

    /// Asks again and again until it is so; fails when it does not come to be.
    pub fn until(server: &Server, so: impl Fn(&Status) -> bool) -> Status {
        let since = Instant::now();
        loop {
            let status = Status::of(server);
            if so(&status) {
                return status;
            }
            assert!(since.elapsed() < PATIENCE, "{:#?}\n{}", status.0, server.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The sum over all workers.
    pub fn worker(&self, name: &str) -> u64 {
        self.0.iter().filter(|(key, _)| key.starts_with(&format!("perilune_{name}{{"))).map(|(_, n)| n).sum()
    }

    /// How many workers have it.
    pub fn count(&self, name: &str) -> usize {
        self.0.keys().filter(|key| key.starts_with(&format!("perilune_{name}{{"))).count()
    }

    /// The highest generation of a worker that has it.
    pub fn latest(&self, name: &str) -> u64 {
        let keys = self.0.keys().filter(|key| key.starts_with(&format!("perilune_{name}{{")));
        let generations = keys.filter_map(|key| key.split("generation=\"").nth(1)?.split('"').next()?.parse().ok());
        generations.max().unwrap_or(0)
    }

    /// The server's own figure.
    pub fn server(&self, name: &str) -> u64 {
        self.0.get(&format!("perilune_{name}")).copied().unwrap_or(0)
    }

    /// What is being waited for, in alphabetical order; without what nobody waits for.
    pub fn waits(&self) -> Vec<(String, u64)> {
        let mut sums = BTreeMap::new();
        for (key, n) in self.0.iter().filter(|(key, n)| key.starts_with("perilune_waits{") && **n > 0) {
            let what = key.split("what=\"").nth(1).unwrap().trim_end_matches("\"}");
            *sums.entry(what.to_string()).or_insert(0) += n;
        }
        sums.into_iter().collect()
    }
}
