//! Access logs that gather lines (`buffer=`, `flush=`, `gzip`), and those whose file a request names.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flate2::{Compression, write::GzEncoder};

use super::LogFile;

#[derive(Debug)]
pub struct Buffered {
    pub file: Arc<LogFile>,
    pub size: usize,
    /// Lines wait no longer than this.
    pub flush: Option<Duration>,
    /// The level of compression; each flush makes a gzip member.
    pub gzip: Option<u32>,
    pending: Mutex<Vec<u8>>,
}

impl Buffered {
    pub fn new(file: Arc<LogFile>, size: usize, flush: Option<Duration>, gzip: Option<u32>) -> Buffered {
        Buffered { file, size, flush, gzip, pending: Mutex::default() }
    }

    /// Called on a worker's thread.
    pub fn write(self: &Arc<Self>, line: &[u8]) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() + line.len() > self.size {
            let full = std::mem::take(&mut *pending);
            self.put(&full);
        }
        let first = pending.is_empty();
        pending.extend_from_slice(line);
        if let Some(after) = self.flush.filter(|_| first) {
            let me = self.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(after).await;
                me.flush();
            });
        }
    }

    pub fn flush(&self) {
        let full = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        self.put(&full);
    }

    fn put(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let Some(level) = self.gzip else { return self.file.write(bytes) };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
        if encoder.write_all(bytes).is_ok()
            && let Ok(member) = encoder.finish()
        {
            self.file.write(&member);
        }
    }
}

/// `open_log_file_cache`: files with variables in their names stay open while they are in use.
#[derive(Debug)]
pub struct OpenFiles {
    pub max: usize,
    pub min_uses: u32,
    pub inactive: Duration,
    pub valid: Duration,
    /// The one used last stands last.
    files: Mutex<Vec<Open>>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: Option<File>,
    uses: u32,
    opened: Instant,
    used: Instant,
}

impl OpenFiles {
    pub fn new(max: usize, min_uses: u32, inactive: Duration, valid: Duration) -> OpenFiles {
        OpenFiles { max, min_uses, inactive, valid, files: Mutex::default() }
    }

    pub fn write(&self, path: &Path, line: &[u8]) -> std::io::Result<()> {
        let now = ngx::now::instant();
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|open| now.duration_since(open.used) < self.inactive);
        let mut open = match files.iter().position(|open| open.path == path) {
            Some(at) => files.remove(at),
            None => Open { path: path.to_path_buf(), file: None, uses: 0, opened: now, used: now },
        };
        (open.uses, open.used) = (open.uses + 1, now);
        if now.duration_since(open.opened) >= self.valid {
            // It may have been moved away meanwhile.
            open.file = None;
        }
        let result = match open.file.take().map_or_else(|| append(path), Ok) {
            Ok(mut file) => {
                let written = file.write_all(line);
                if open.uses >= self.min_uses {
                    open.file = Some(file);
                } else {
                    open.opened = now;
                }
                written
            }
            // (what cannot be opened pushes nothing out)
            Err(error) => return Err(error),
        };
        files.push(open);
        let over = files.len().saturating_sub(self.max);
        files.drain(..over);
        result
    }
}

/// Appends to a file that is opened for this line.
pub fn write_once(path: &Path, line: &[u8]) -> std::io::Result<()> {
    append(path)?.write_all(line)
}

fn append(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_use_stay_open() {
        let directory = std::env::temp_dir().join(format!("perilune-open-{}", std::process::id()));
        let (here, there) = (directory.join("a"), directory.join("b"));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&here).expect("a directory");
        let files = OpenFiles::new(2, 2, Duration::from_secs(60), Duration::from_secs(60));
        for name in ["one", "two", "two", "three", "three"] {
            files.write(&here.join(name), b"x").expect("written");
        }
        std::fs::rename(&here, &there).expect("moved");
        let after: Vec<bool> =
            ["one", "two", "three"].iter().map(|name| files.write(&here.join(name), b"y").is_ok()).collect();
        // (the first one had fallen out)
        assert_eq!(after, [false, true, true]);
        assert_eq!(std::fs::read(there.join("three")).expect("read"), b"xxy");
        let _ = std::fs::remove_dir_all(&directory);
    }
}
