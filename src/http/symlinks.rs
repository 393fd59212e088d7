//! `disable_symlinks`: a file is opened part by part, and symbolic links among the parts are refused: all of them, or those that
//! belong to somebody else than what they point to. Between two looks nobody can put a link there: each part is opened where the
//! one before it is.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, open, openat, statat};
use rustix::io::Errno;

use crate::conf::value::Value;

/// The directive. `from`: what is checked is only what follows this, where the path begins with it.
#[derive(Clone, Debug)]
pub struct Rule {
    pub refuse: Refuse,
    pub from: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refuse {
    None,
    All,
    /// Links whose owner is not the owner of what they point to.
    Others,
}

const PART: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
const LAST: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Opens for reading. `from`: so many bytes of the path, up to a slash, are taken as they are.
pub fn open_file(path: &Path, refuse: Refuse, from: usize) -> io::Result<File> {
    let bytes = path.as_os_str().as_bytes();
    let (mut at, rest) = match bytes.split_at_checked(from) {
        Some((start, rest)) if from > 0 => (open(start, PART, Mode::empty())?, rest),
        _ => match bytes {
            [b'/', rest @ ..] => (open("/", PART, Mode::empty())?, rest),
            _ => (openat(CWD, ".", PART, Mode::empty())?, bytes),
        },
    };
    let mut parts = rest.split(|&b| b == b'/').filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_some() { PART } else { LAST };
        at = step(&at, part, flags, refuse)?;
    }
    // (nothing behind `from`, or a slash at the end: the directory itself)
    Ok(match rest.last() {
        None | Some(b'/') => File::from(openat(&at, ".", LAST, Mode::empty())?),
        Some(_) => File::from(at),
    })
}

fn step(at: &OwnedFd, part: &[u8], flags: OFlags, refuse: Refuse) -> io::Result<OwnedFd> {
    let plain = openat(at, part, flags | OFlags::NOFOLLOW, Mode::empty());
    // (opened as a place only, a link is opened itself)
    let link = match &plain {
        Ok(found) => is_link(found)?,
        Err(Errno::LOOP) => true,
        Err(_) => false,
    };
    match (plain, link) {
        (_, true) if refuse == Refuse::All => Err(Errno::LOOP.into()),
        (_, true) => {
            let target = openat(at, part, flags, Mode::empty())?;
            let owner = statat(at, part, AtFlags::SYMLINK_NOFOLLOW)?.st_uid;
            if fstat(&target)?.st_uid == owner { Ok(target) } else { Err(Errno::LOOP.into()) }
        }
        (plain, false) => Ok(plain?),
    }
}

fn is_link(found: impl AsFd) -> io::Result<bool> {
    let mode = fstat(found)?.st_mode;
    Ok(rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::Symlink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_refused_where_they_are_looked_for() {
        // (no link stands before it)
        let temporary = std::env::temp_dir().canonicalize().unwrap_or_else(|error| panic!("{error}"));
        let directory = temporary.join(format!("perilune-symlinks-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let made = || {
            std::fs::create_dir_all(directory.join("real/deep"))?;
            std::fs::write(directory.join("real/deep/file"), "text")?;
            std::os::unix::fs::symlink("real", directory.join("link"))?;
            std::os::unix::fs::symlink("file", directory.join("real/deep/alias"))
        };
        made().unwrap_or_else(|error| panic!("{error}"));
        let start = directory.as_os_str().len();
        let opened = |name: &str, refuse, from| {
            let mut text = String::new();
            let found = open_file(&directory.join(name), refuse, from);
            match found.and_then(|mut file| io::Read::read_to_string(&mut file, &mut text)) {
                Ok(_) => text,
                Err(error) => error.raw_os_error().unwrap_or(0).to_string(),
            }
        };
        for (name, refuse, from, expected) in [
            ("real/deep/file", Refuse::All, 0, "text"),
            ("real//deep/file", Refuse::All, start, "text"),
            ("link/deep/file", Refuse::All, start, "40"),
            ("real/deep/alias", Refuse::All, start, "40"),
            // (links of our own to what is our own)
            ("link/deep/file", Refuse::Others, 0, "text"),
            ("real/deep/alias", Refuse::Others, start, "text"),
            // What stands before `from` may be a link.
            ("link/deep/file", Refuse::All, start + "/link".len(), "text"),
            ("real/none", Refuse::All, 0, "2"),
            ("real/deep/file/x", Refuse::All, 0, "20"),
            ("real/deep/", Refuse::All, start, "21"),
        ] {
            assert_eq!(opened(name, refuse, from), expected, "{name} {refuse:?} {from}");
        }
        let _ = std::fs::remove_dir_all(&directory);
    }
}
