//! The logs: files that can be reopened, the error log's line format, and what writes to it on behalf of requests.

pub mod access;
pub mod buffer;
pub mod syslog;
#[cfg(feature = "trace")]
pub mod trace;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, RwLock};

use ngx::captured::Captured;
use ngx::log::{Level, Log};
use ngx::phase::Phase;
use ngx::request::Request;

pub use access::AccessLog;

use crate::conf::tree::Main;

/// A log file, shared by everything that writes to it. Opened apart from being named, so that a configuration can be read
/// without touching the disk; a line is one write, so that lines of several workers never mix.
#[derive(Debug, Default)]
pub struct LogFile {
    path: Option<PathBuf>,
    file: RwLock<Option<File>>,
    /// Not a file at all.
    syslog: Option<syslog::Syslog>,
    /// Neither: the latest lines, for whoever asks `perilune_status` for them.
    memory: Option<Captured>,
}

impl LogFile {
    pub fn new(path: PathBuf) -> LogFile {
        LogFile { path: Some(path), ..LogFile::default() }
    }
    pub fn stderr() -> LogFile {
        LogFile::default()
    }
    pub fn syslog(syslog: syslog::Syslog) -> LogFile {
        LogFile { syslog: Some(syslog), ..LogFile::default() }
    }
    /// `size`: bytes of the latest lines.
    pub fn memory(size: usize) -> LogFile {
        LogFile { memory: Some(Captured::new(size)), ..LogFile::default() }
    }
    /// What is in the memory, the oldest line first; it stays there.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        self.memory.as_ref().map(Captured::all).unwrap_or_default()
    }
    pub fn path(&self) -> Option<&PathBuf> {
        self.path.as_ref()
    }
    /// Opens, or opens anew: the file may have been renamed meanwhile. On failure the old one stays.
    pub fn open(&self) -> std::io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let new = OpenOptions::new().append(true).create(true).open(path)?;
        *self.file.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(new);
        Ok(())
    }
    /// The file, for another process.
    pub fn copy(&self) -> std::io::Result<Option<std::os::fd::OwnedFd>> {
        let file = self.file.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.as_ref().map(|file| file.try_clone().map(Into::into)).transpose()
    }
    /// Writes to what another process has opened from now on.
    pub fn adopt(&self, file: std::os::fd::OwnedFd) {
        *self.file.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(file.into());
    }
    /// A line of an error log.
    fn write_at(&self, level: Level, line: &[u8]) {
        if let Some(memory) = &self.memory {
            return memory.push(level, 0.0, line.strip_suffix(b"\n").unwrap_or(line));
        }
        match &self.syslog {
            Some(syslog) => syslog.send(u8::try_from(level as i64 - 1).unwrap_or(0), line),
            None => self.write(line),
        }
    }
    pub fn write(&self, line: &[u8]) {
        if let Some(syslog) = &self.syslog {
            return syslog.send(syslog.severity, line);
        }
        if self.path.is_none() {
            let _ = std::io::stderr().write_all(line);
            return;
        }
        let file = self.file.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(file) = &*file {
            let mut file: &File = file;
            // A full disk must not take the server down.
            let _ = file.write_all(line);
        }
    }
    pub fn is_open(&self) -> bool {
        self.path.is_none() || self.file.read().is_ok_and(|file| file.is_some())
    }
}

/// One `error_log` line of the configuration.
#[derive(Clone, Debug)]
pub struct ErrorLog {
    pub level: Level,
    pub file: Arc<LogFile>,
}

/// As long as nginx's lines get before they are cut.
pub const LINE: usize = 4096;

/// Writes one line to every log that wants that level; what any of them wants is captured, too.
pub fn write(
    logs: &[ErrorLog],
    captured: Option<&Captured>,
    level: Level,
    connection: u64,
    message: &[u8],
    tail: &[u8],
) {
    if !logs.iter().any(|log| level <= log.level) {
        return;
    }
    let mut line = Vec::with_capacity(64 + message.len() + tail.len());
    crate::time::error_log_time(&mut line);
    let (pid, tid) = (std::process::id(), rustix::thread::gettid().as_raw_nonzero());
    let _ = write!(line, " [{}] {pid}#{tid}: ", if level == Level::Stderr { "" } else { level.name() });
    if connection > 0 {
        let _ = write!(line, "*{connection} ");
    }
    let room = LINE.saturating_sub(line.len() + 1);
    line.extend_from_slice(&message[..message.len().min(room)]);
    line.extend_from_slice(&tail[..tail.len().min(LINE.saturating_sub(line.len() + 1))]);
    if let Some(captured) = captured {
        captured.push(level, crate::time::now_ms() as f64 / 1000.0, &line);
    }
    line.push(b'\n');
    for log in logs.iter().filter(|log| level <= log.level) {
        log.file.write_at(level, &line);
    }
}

/// What startup, workers and timers write through.
#[derive(Clone)]
pub struct Plain {
    logs: Arc<[ErrorLog]>,
    captured: Option<Arc<Captured>>,
}

impl Plain {
    /// Where messages go that belong to no request.
    pub fn of(main: &Main) -> Plain {
        let captured = main.http.as_ref().and_then(|http| http.lua.captured.clone());
        Plain { logs: main.error_log.clone(), captured }
    }
    /// The same before there is a configuration.
    pub fn early(logs: &[ErrorLog]) -> Plain {
        Plain { logs: Arc::from(logs), captured: None }
    }
    pub fn say(&self, level: Level, message: &str) {
        write(&self.logs, self.captured.as_deref(), level, 0, message.as_bytes(), b"");
    }
}

impl Log for Plain {
    fn enabled(&self, level: Level) -> bool {
        self.logs.iter().any(|log| level <= log.level)
    }
    fn write(&self, level: Level, message: &[u8], request: Option<&Request>) {
        let tail = match request {
            Some(request) if !matches!(request.phase, Phase::Init | Phase::ExitWorker) => {
                format!(", context: {}", request.phase.context())
            }
            _ => String::new(),
        };
        write(&self.logs, self.captured.as_deref(), level, 0, message, tail.as_bytes());
    }
}

/// What a request at one location writes through.
pub struct ForRequest {
    pub worker: Rc<crate::worker::Worker>,
    pub location: crate::conf::tree::LocationId,
    pub server: usize,
    /// Where the connection was accepted, for what has no request line: `0.0.0.0:80`.
    pub listen: usize,
    pub connection: u64,
    /// What the most talkative of its logs takes; asked more often than anything is written.
    most: Level,
}

impl ForRequest {
    pub fn new(
        worker: Rc<crate::worker::Worker>,
        location: crate::conf::tree::LocationId,
        server: usize,
        listen: usize,
        connection: u64,
    ) -> ForRequest {
        let mut new = ForRequest { worker, location, server, listen, connection, most: Level::Stderr };
        new.most = new.logs().iter().map(|log| log.level).max().unwrap_or(Level::Stderr);
        new
    }
    fn logs(&self) -> &[ErrorLog] {
        let logs = &self.worker.http.location(self.location).settings.error_log;
        logs.as_ref().unwrap_or(&self.worker.main.error_log)
    }
}

impl Log for ForRequest {
    fn enabled(&self, level: Level) -> bool {
        level <= self.most
    }
    fn write(&self, level: Level, message: &[u8], request: Option<&Request>) {
        if !self.enabled(level) {
            return;
        }
        let http = &self.worker.http;
        let name = |request: &Request| match request.phase {
            Phase::Timer => http.listens.get(self.listen).map_or(&b""[..], |listen| listen.text.as_bytes()),
            _ => &http.servers[self.server].name,
        };
        let tail = request.map(|request| tail(name(request), request)).unwrap_or_default();
        write(self.logs(), http.lua.captured.as_deref(), level, self.connection, message, &tail);
    }
}

/// `, client: …, server: …, request: "…", host: "…"`
fn tail(server: &[u8], request: &Request) -> Vec<u8> {
    // What the server is doing, where nginx has words for it.
    let mut tail = match request.phase {
        Phase::Log => b" while logging request".to_vec(),
        Phase::Timer => b", context: ngx.timer".to_vec(),
        _ => Vec::new(),
    };
    tail.extend_from_slice(b", client: ");
    tail.extend_from_slice(if request.connection.unix { b"unix:" } else { &request.connection.remote_addr });
    tail.extend_from_slice(b", server: ");
    tail.extend_from_slice(server);
    if !request.request_line.is_empty() {
        tail.extend_from_slice(b", request: \"");
        tail.extend_from_slice(&request.request_line);
        tail.push(b'"');
    }
    for (name, label) in [(&b"host"[..], &b", host: \""[..]), (b"referer", b", referrer: \"")] {
        if let Some(value) = request.headers.first(name) {
            tail.extend_from_slice(label);
            tail.extend_from_slice(value);
            tail.push(b'"');
        }
    }
    tail
}

/// The files of logs that have one, for another process, which adopts them in the same order.
pub fn copy_all(files: &[Arc<LogFile>]) -> std::io::Result<Vec<std::os::fd::OwnedFd>> {
    let open = files.iter().filter(|file| file.path.is_some());
    Ok(open.map(|file| file.copy()).collect::<std::io::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

pub fn adopt_all(files: &[Arc<LogFile>], copies: Vec<std::os::fd::OwnedFd>) {
    files.iter().filter(|file| file.path.is_some()).zip(copies).for_each(|(file, copy)| file.adopt(copy));
}

/// `open() "PATH" failed (2: No such file or directory)` for the first log that cannot be opened.
pub fn open_all(files: &[Arc<LogFile>]) -> Result<(), String> {
    for file in files {
        file.open().map_err(|error| {
            let path = file.path().map(PathBuf::as_path).unwrap_or(Path::new(""));
            format!("open() \"{}\" failed {}", path.display(), crate::conf::os_error(&error))
        })?;
    }
    Ok(())
}
