//! The compiled patterns of a worker.
//!
//! Most calls ask for a pattern that the same line of Lua asked for just before: such a pattern is found by the address
//! of its text, compared, and neither hashed nor copied.
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::regex::{Captures, Flags, Regex, Template, TemplateError};

/// lua_regex_cache_max_entries' default.
const MAX_CACHED: usize = 1024;
/// Patterns that are found by address, a power of two.
const RECENT: usize = 256;
/// The room for a message about a pattern.
const MAX_MESSAGE: usize = 127;

/// A compiled pattern, with what it was compiled from.
pub(crate) struct Compiled {
    pub regex: Regex,
    pattern: Box<[u8]>,
    options: Box<[u8]>,
    /// When it was asked for last, on the cache's clock.
    used: Cell<u64>,
    /// The replacement it was used with last.
    template: RefCell<Option<(Box<[u8]>, Rc<Template>)>>,
}

impl Compiled {
    fn is(&self, pattern: &[u8], options: &[u8]) -> bool {
        *self.pattern == *pattern && *self.options == *options
    }

    /// A replacement, compiled.
    pub fn template(&self, text: &[u8]) -> Result<Rc<Template>, TemplateError> {
        if let Some((_, template)) = self.template.borrow().as_ref().filter(|(known, _)| **known == *text) {
            return Ok(template.clone());
        }
        let template = Rc::new(Template::compile(text)?);
        *self.template.borrow_mut() = Some((text.into(), template.clone()));
        Ok(template)
    }
}

/// Compiled patterns by text and options, and the memory for searching. The least recently used go first.
#[derive(Default)]
pub(crate) struct Cache {
    recent: RefCell<Vec<Option<Rc<Compiled>>>>,
    known: RefCell<HashMap<Vec<u8>, Rc<Compiled>, ahash::RandomState>>,
    clock: Cell<u64>,
    key: RefCell<Vec<u8>>,
    pub captures: RefCell<Captures>,
    max_entries: usize,
    /// Steps of one attempt; 0: PCRE's default.
    pub match_limit: u64,
}

impl Cache {
    pub fn new(max_entries: Option<usize>, match_limit: u64) -> Rc<Cache> {
        let recent = RefCell::new(vec![None; RECENT]);
        Rc::new(Cache { recent, max_entries: max_entries.unwrap_or(MAX_CACHED), match_limit, ..Cache::default() })
    }

    /// A pattern that was compiled before.
    #[inline]
    pub fn find(&self, pattern: &[u8], options: &[u8]) -> Option<Rc<Compiled>> {
        let now = self.clock.get() + 1;
        self.clock.set(now);
        let recent = self.recent.borrow();
        let found = recent.get(place(pattern)).and_then(Option::as_ref).filter(|known| known.is(pattern, options));
        if let Some(found) = found {
            found.used.set(now);
            return Some(found.clone());
        }
        drop(recent);
        let mut key = self.key.borrow_mut();
        key.clear();
        key.extend_from_slice(options);
        key.push(0);
        key.extend_from_slice(pattern);
        let found = self.known.borrow().get(key.as_slice()).cloned()?;
        found.used.set(now);
        self.remember(pattern, &found);
        Some(found)
    }

    /// Compiles a pattern that `find` has just not found. The error is in lua-nginx-module's words.
    pub fn compile(&self, pattern: &[u8], options: &[u8], flags: Flags) -> Result<Rc<Compiled>, String> {
        let regex = Regex::compile(pattern, flags).map_err(|e| {
            let shown = String::from_utf8_lossy(pattern);
            let mut words = format!("pcre_compile() failed: {} in \"{shown}\"", e.message);
            if let Some(rest) = pattern.get(e.offset..).filter(|rest| !rest.is_empty()) {
                words.push_str(&format!(" at \"{}\"", String::from_utf8_lossy(rest)));
            }
            let end = (0..=MAX_MESSAGE.min(words.len())).rev().find(|i| words.is_char_boundary(*i));
            words.truncate(end.unwrap_or(0));
            words
        })?;
        let used = Cell::new(self.clock.get());
        let template = RefCell::new(None);
        let compiled = Rc::new(Compiled { regex, pattern: pattern.into(), options: options.into(), used, template });
        if self.max_entries == 0 {
            return Ok(compiled);
        }
        let mut known = self.known.borrow_mut();
        if known.len() >= self.max_entries {
            let oldest = known.iter().min_by_key(|(_, entry)| entry.used.get()).map(|(key, _)| key.clone());
            oldest.map(|key| known.remove(&key));
        }
        known.insert(self.key.borrow().clone(), compiled.clone());
        self.remember(pattern, &compiled);
        Ok(compiled)
    }

    fn remember(&self, pattern: &[u8], compiled: &Rc<Compiled>) {
        if let Some(slot) = self.recent.borrow_mut().get_mut(place(pattern)) {
            *slot = Some(compiled.clone());
        }
    }
}

/// Where a text at this address would be remembered.
fn place(pattern: &[u8]) -> usize {
    let address = pattern.as_ptr().addr();
    (address >> 4 ^ address >> 12) & (RECENT - 1)
}
