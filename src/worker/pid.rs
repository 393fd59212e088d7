//! The pid file, and signals to the server that it names.

use std::path::{Path, PathBuf};

use crate::conf::os_error;

/// The file while this process serves; removed when dropped.
pub struct PidFile(PathBuf);

impl PidFile {
    pub fn write(path: &Path) -> Result<PidFile, String> {
        std::fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|error| format!("open() \"{}\" failed {}", path.display(), os_error(&error)))?;
        Ok(PidFile(path.to_path_buf()))
    }
    pub fn path(&self) -> &PathBuf {
        &self.0
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Never a device: `pid /dev/null` is a way to say "none".
        if self.0.is_file() {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

/// `-s stop|quit|reload|reopen`.
pub fn signal(path: &Path, name: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("open() \"{}\" failed {}", path.display(), os_error(&error)))?;
    let invalid = || format!("invalid PID number \"{}\" in \"{}\"", text.trim_end(), path.display());
    let number: i32 = text.trim().parse().map_err(|_| invalid())?;
    let pid = rustix::process::Pid::from_raw(number).ok_or_else(invalid)?;
    use rustix::process::Signal;
    let signal = match name {
        "stop" => Signal::TERM,
        "quit" => Signal::QUIT,
        "reload" => Signal::HUP,
        _ => Signal::USR1,
    };
    rustix::process::kill_process(pid, signal).map_err(|error| {
        let error = std::io::Error::from(error);
        format!("kill({number}, {}) failed {}", signal.as_raw(), os_error(&error))
    })
}
