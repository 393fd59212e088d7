//! `open_file_cache`: open files, what is known of them, and errors, remembered for a while; a cache per worker and directive.
//!
//! An entry is believed for `open_file_cache_valid`, then it is looked at again: the same file stays open, another one that has
//! its name takes its place. What nobody asked for in `inactive` is closed, and so is the one that was asked for longest ago when
//! there are `max`. A file is kept open from its `open_file_cache_min_uses`th use on; until then only what is known of it is.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ngx::request::Request;

use super::live::Live;
use super::symlinks::{self, Refuse};

/// The directive's parameters. Locations that inherit it share it, and its cache.
#[derive(Debug)]
pub struct Conf {
    pub max: usize,
    pub inactive: Duration,
}

/// How long entries are believed, from which use on files stay open, and whether errors are remembered.
#[derive(Clone, Copy)]
struct Rules {
    valid: Duration,
    min_uses: u64,
    errors: bool,
}

/// A file that can be read.
#[derive(Clone)]
pub struct Found {
    pub file: Rc<File>,
    pub facts: Facts,
}

/// What was known of it when it was opened, or looked at again.
#[derive(Clone, Copy)]
pub struct Facts {
    pub size: u64,
    /// Seconds since the epoch.
    pub mtime: i64,
    pub is_dir: bool,
    pub is_file: bool,
    /// For its owner.
    pub is_executable: bool,
    device: u64,
    inode: u64,
}

impl Facts {
    fn of(found: &std::fs::Metadata) -> Facts {
        Facts {
            size: found.size(),
            mtime: found.mtime(),
            is_dir: found.is_dir(),
            is_file: found.is_file(),
            is_executable: found.mode() & 0o100 != 0,
            device: found.dev(),
            inode: found.ino(),
        }
    }
    fn is_same_file(&self, other: &Facts) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// The worker's caches, by the directive they are of.
#[derive(Default)]
pub struct OpenFiles(RefCell<Vec<(Arc<Conf>, Cache)>>);

#[derive(Default)]
struct Cache {
    entries: HashMap<Vec<u8>, Entry, ahash::RandomState>,
    /// Names in the order they were asked for; the numbers are the entries' `turn`.
    order: BTreeMap<u64, Vec<u8>>,
    turns: u64,
}

struct Entry {
    known: Result<Facts, i32>,
    /// None: there is an error, or it has not been used often enough.
    file: Option<Rc<File>>,
    links: Links,
    looked: Instant,
    asked: Instant,
    uses: u64,
    turn: u64,
}

/// Opens a file, or finds it open.
pub fn open(live: &Live, request: &Request, path: &Path) -> io::Result<Found> {
    let settings = live.settings();
    let links = Links::of(live, request, path);
    let Some(conf) = settings.open_file_cache.as_ref().and_then(Option::as_ref) else { return open_now(path, links) };
    let rules = Rules {
        valid: Duration::from_millis(settings.open_file_cache_valid.unwrap_or(60_000)),
        min_uses: settings.open_file_cache_min_uses.unwrap_or(1),
        errors: settings.open_file_cache_errors.unwrap_or(false),
    };
    let mut caches = live.worker.open_files.0.borrow_mut();
    let at = caches.iter().position(|(known, _)| Arc::ptr_eq(known, conf)).unwrap_or_else(|| {
        caches.push((conf.clone(), Cache::default()));
        caches.len() - 1
    });
    caches[at].1.open(path, links, conf, rules, ngx::now::instant())
}

/// Whether there is such a file, and what is known of it.
pub fn look(live: &Live, request: &Request, path: &Path) -> Option<Facts> {
    match Links::of(live, request, path) {
        Links { refuse: Refuse::None, .. } => std::fs::metadata(path).ok().map(|found| Facts::of(&found)),
        links => open_now(path, links).ok().map(|found| found.facts),
    }
}

/// What `disable_symlinks` says of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Links {
    refuse: Refuse,
    from: usize,
}

impl Links {
    fn of(live: &Live, request: &Request, path: &Path) -> Links {
        let allowed = Links { refuse: Refuse::None, from: 0 };
        let Some(rule) = live.settings().disable_symlinks.as_ref() else { return allowed };
        let from = rule.from.as_ref().map(|from| live.eval(request, from)).unwrap_or_default();
        if from == path.as_os_str().as_encoded_bytes() {
            return allowed;
        }
        let from = from.strip_suffix(b"/").unwrap_or(&from);
        let rest = path.as_os_str().as_encoded_bytes().strip_prefix(from);
        let from = if rest.is_some_and(|rest| rest.starts_with(b"/")) { from.len() } else { 0 };
        Links { refuse: rule.refuse, from }
    }
}

fn open_now(path: &Path, links: Links) -> io::Result<Found> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = match links.refuse {
        Refuse::None => File::options().read(true).custom_flags(flags).open(path)?,
        refuse => symlinks::open_file(path, refuse, links.from)?,
    };
    let facts = Facts::of(&file.metadata()?);
    Ok(Found { file: Rc::new(file), facts })
}

impl Cache {
    fn open(&mut self, path: &Path, links: Links, conf: &Conf, rules: Rules, now: Instant) -> io::Result<Found> {
        let name = path.as_os_str().as_encoded_bytes();
        // (what was opened under other rules is no answer)
        let before = self.take(name).filter(|entry| entry.links == links);
        self.expire(conf, now);
        let uses = before.as_ref().map_or(1, |entry| entry.uses + 1);
        if let Some(entry) = &before
            && now.duration_since(entry.looked) < rules.valid
        {
            match (entry.known, &entry.file) {
                (Err(error), _) => {
                    self.put(name, Entry { uses, asked: now, ..before.expect("looked at above") }, conf);
                    return Err(io::Error::from_raw_os_error(error));
                }
                (Ok(facts), Some(file)) => {
                    let found = Found { file: file.clone(), facts };
                    self.put(name, Entry { uses, asked: now, ..before.expect("looked at above") }, conf);
                    return Ok(found);
                }
                (Ok(_), None) => {}
            }
        }
        let opened = match before.and_then(|entry| entry.file.zip(entry.known.ok())) {
            // (looked at again without being opened again, if it is still the same and no link can be in the way)
            Some((file, facts)) if links.refuse == Refuse::None => {
                match std::fs::metadata(path).map(|found| Facts::of(&found)) {
                    Ok(now) if now.is_same_file(&facts) => Ok(Found { file, facts: now }),
                    Ok(_) => open_now(path, links),
                    Err(error) => Err(error),
                }
            }
            _ => open_now(path, links),
        };
        let known = match &opened {
            Ok(found) => Ok(found.facts),
            Err(error) => Err(error.raw_os_error().unwrap_or(0)),
        };
        if known.is_ok() || (rules.errors && !matches!(known, Err(0))) {
            let file = opened.as_ref().ok().filter(|_| uses >= rules.min_uses).map(|found| found.file.clone());
            self.put(name, Entry { known, file, links, looked: now, asked: now, uses, turn: 0 }, conf);
        }
        opened
    }

    fn take(&mut self, name: &[u8]) -> Option<Entry> {
        let entry = self.entries.remove(name)?;
        self.order.remove(&entry.turn);
        Some(entry)
    }

    fn put(&mut self, name: &[u8], entry: Entry, conf: &Conf) {
        while self.entries.len() >= conf.max {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.entries.remove(&oldest);
        }
        self.turns += 1;
        self.order.insert(self.turns, name.to_vec());
        self.entries.insert(name.to_vec(), Entry { turn: self.turns, ..entry });
    }

    /// At most two at a time, so that no request pays for all.
    fn expire(&mut self, conf: &Conf, now: Instant) {
        for _ in 0..2 {
            let Some((_, name)) = self.order.first_key_value() else { return };
            let idle = self.entries.get(name).is_none_or(|entry| now.duration_since(entry.asked) > conf.inactive);
            if !idle {
                return;
            }
            if let Some((_, name)) = self.order.pop_first() {
                self.entries.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Ok(text)` or the error's number, for what the cache finds after `seconds`.
    #[test]
    fn entries_are_believed_looked_at_again_and_forgotten() {
        let directory = std::env::temp_dir().join(format!("perilune-open-files-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap_or_else(|error| panic!("{error}"));
        let path = |name: &str| directory.join(name);
        let write = |name: &str, text: &str| {
            // (another file, not the same one with another text)
            let fresh = directory.join("fresh");
            let _ = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, path(name)));
        };
        let links = Links { refuse: Refuse::None, from: 0 };
        let conf = Conf { max: 2, inactive: Duration::from_secs(100) };
        let rules = |errors, min_uses| Rules { valid: Duration::from_secs(10), min_uses, errors };
        let start = Instant::now();
        let (mut cache, mut found) = (Cache::default(), Vec::new());
        let mut look = |cache: &mut Cache, name: &str, seconds, rules| {
            let mut text = vec![0; 100];
            let result = cache.open(&path(name), links, &conf, rules, start + Duration::from_secs(seconds));
            found.push(match result {
                Ok(file) => {
                    let count = std::os::unix::fs::FileExt::read_at(&*file.file, &mut text, 0).unwrap_or(0);
                    assert_eq!(count as u64, file.facts.size);
                    String::from_utf8_lossy(&text[..count]).into_owned()
                }
                Err(error) => error.raw_os_error().unwrap_or(0).to_string(),
            });
        };
        write("a", "one");
        look(&mut cache, "a", 0, rules(false, 1));
        write("a", "three");
        look(&mut cache, "a", 9, rules(false, 1));
        look(&mut cache, "a", 10, rules(false, 1));
        look(&mut cache, "b", 10, rules(true, 1));
        write("b", "b");
        look(&mut cache, "b", 11, rules(true, 1));
        look(&mut cache, "b", 21, rules(true, 1));
        // A third one pushes out the one that was asked for longest ago.
        write("c", "c");
        look(&mut cache, "c", 22, rules(false, 1));
        write("a", "four");
        look(&mut cache, "a", 23, rules(false, 1));
        // Not kept open at its first use, it is opened again at its second.
        write("d", "d");
        look(&mut cache, "d", 124, rules(false, 2));
        write("d", "dee");
        look(&mut cache, "d", 125, rules(false, 2));
        write("d", "dear");
        look(&mut cache, "d", 126, rules(false, 2));
        assert_eq!(found, ["one", "one", "three", "2", "2", "b", "c", "four", "d", "dee", "dee"]);
        assert_eq!(cache.entries.len(), cache.order.len());
        assert_eq!(cache.entries.len(), 1, "what was not asked for is gone");
        let _ = std::fs::remove_dir_all(&directory);
    }
}
