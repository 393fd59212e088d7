//! From lexed directives to the configuration: looks each one up in the tables, checks context and arity, and calls its row's
//! function with the level that is open.
//!
//! Everything is checked in the order in which it is read, so that the first error is the one nginx would report. Must stay
//! true: every message of a failed load leaves here with ` in FILE:LINE` behind it, except the few that concern the whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ngx::code::{Code, Source};
use ngx::log::Level;
use ngx::thread_pool::PoolConf;

use super::directives::{self, Block, Row, arity, context};
use super::draft::{HttpDraft, LocationDraft, MapDraft, ServerDraft};
use super::lex::{Event, Lexer, Word};
use super::names::Names;
use super::settings::Settings;
use super::tree::{Node, Pos};
use super::value::Value;
use super::{glob, scalar};
use crate::log::{ErrorLog, LogFile};

/// One directive on its way to its row's function.
pub struct Directive {
    pub name: String,
    pub words: Vec<Word>,
    pub pos: Pos,
    /// The text of a `*_by_lua_block`.
    pub lua: Option<Arc<[u8]>>,
}

impl Directive {
    /// The nth argument; 0 is the first one behind the name.
    pub fn arg(&self, n: usize) -> &[u8] {
        self.words.get(n + 1).map_or(b"", Vec::as_slice)
    }
    pub fn text(&self, n: usize) -> String {
        String::from_utf8_lossy(self.arg(n)).into_owned()
    }
    pub fn args(&self) -> &[Word] {
        &self.words[1..]
    }
    /// `"name" directive WORDS`, nginx's way to say that a slot refused.
    pub fn says(&self, words: &str) -> String {
        format!("\"{}\" directive {words}", self.name)
    }
}

/// What is open at the moment, innermost last.
pub enum Frame {
    Http(LocationDraft),
    Server(ServerDraft),
    Location(LocationDraft),
    Types,
    Map(MapDraft),
    Charset(Box<directives::CharsetDraft>),
    Geo(Box<directives::GeoDraft>),
    Split(Box<directives::SplitDraft>),
    Other,
}

/// What the main context collects.
#[derive(Default)]
pub struct MainDraft {
    pub daemon: Option<bool>,
    pub master_process: Option<bool>,
    pub worker_processes: Option<usize>,
    pub worker_connections: Option<usize>,
    pub worker_rlimit_nofile: Option<u64>,
    pub worker_rlimit_core: Option<u64>,
    pub worker_shutdown_timeout: Option<u64>,
    pub working_directory: Option<PathBuf>,
    pub pid: Option<PathBuf>,
    pub user: Option<Option<crate::worker::user::User>>,
    pub env: Vec<(String, Option<String>)>,
    pub thread_pools: Vec<PoolConf>,
    pub error_log: Vec<ErrorLog>,
    pub events: bool,
    pub seen: Vec<String>,
}

pub struct Builder {
    pub prefix: PathBuf,
    /// The directory of the configuration file: what `include` is relative to.
    pub conf_prefix: PathBuf,
    pub main: MainDraft,
    pub http: Option<HttpDraft>,
    pub frames: Vec<Frame>,
    pub codes: usize,
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// What directives name: certificates, keys.
    pub material: Vec<(PathBuf, Vec<u8>)>,
    pub logs: Vec<Arc<LogFile>>,
    pub log_buffers: Vec<Arc<crate::log::buffer::Buffered>>,
    pub memory_logs: Vec<Arc<LogFile>>,
    /// Warnings, to be logged once the log is open.
    pub notes: Vec<(Level, String)>,
    /// Directories that the server writes to.
    pub temp_paths: Vec<PathBuf>,
    pub has_http: bool,
    /// Read already: what includes find, instead of the disk.
    pub snapshot: Option<Snapshot>,
    pub names: Names,
    depth: usize,
}

/// The configuration's files with their contents.
pub type Snapshot = Arc<[(PathBuf, Vec<u8>)]>;

const INCLUDE_DEPTH: usize = 100;
const BLOCK_DEPTH: usize = 200;

impl Builder {
    pub fn new(prefix: PathBuf, conf_prefix: PathBuf) -> Builder {
        Builder {
            prefix,
            conf_prefix,
            main: MainDraft::default(),
            http: None,
            frames: Vec::new(),
            codes: 0,
            files: Vec::new(),
            material: Vec::new(),
            logs: Vec::new(),
            log_buffers: Vec::new(),
            memory_logs: Vec::new(),
            notes: Vec::new(),
            temp_paths: Vec::new(),
            has_http: false,
            snapshot: None,
            names: Names::System,
            depth: 0,
        }
    }

    /// The text of `-g`.
    pub fn parameter(&mut self, text: &[u8]) -> Result<(), String> {
        let mut lexer = Lexer::new(text);
        lexer.parameter = true;
        let file: Arc<str> = Arc::from("command line");
        self.directives(&mut lexer, &file, context::MAIN, None, false, 0)
            .map(drop)
            .map_err(|error| error.replace(" in command line:1", " in command line"))
    }

    /// A configuration that is part of the program.
    pub fn text(&mut self, text: &'static str, name: &str) -> Result<Vec<Node>, String> {
        self.directives(&mut Lexer::new(text.as_bytes()), &Arc::from(name), context::MAIN, None, false, 0)
    }

    pub fn file(&mut self, path: &Path, at: u32, items: Option<Block>) -> Result<Vec<Node>, String> {
        let shown = path.to_string_lossy().into_owned();
        let bytes = self.read(path).map_err(|error| format!("open() \"{shown}\" failed {}", os_error(&error)))?;
        self.files.push((path.to_path_buf(), bytes.clone()));
        let mut lexer = Lexer::new(&bytes);
        self.directives(&mut lexer, &Arc::from(shown), at, items, false, 0)
    }

    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        match &self.snapshot {
            Some(files) => {
                let known = files.iter().find(|(name, _)| name == path).map(|(_, bytes)| bytes.clone());
                known.ok_or(std::io::ErrorKind::NotFound.into())
            }
            None => std::fs::read(path),
        }
    }
    /// A file that a directive names and the server needs: certificates, keys.
    pub fn material(&mut self, path: &Path) -> std::io::Result<Vec<u8>> {
        let bytes = self.read(path)?;
        if !self.material.iter().any(|(known, _)| known == path) {
            self.material.push((path.to_path_buf(), bytes.clone()));
        }
        Ok(bytes)
    }

    /// Reads directives up to the `}` of the block they stand in, or to the end of the file.
    fn directives(
        &mut self,
        lexer: &mut Lexer<'_>,
        file: &Arc<str>,
        at: u32,
        items: Option<Block>,
        inside: bool,
        depth: usize,
    ) -> Result<Vec<Node>, String> {
        let mut nodes = Vec::new();
        loop {
            let event = lexer.read();
            let pos = Pos { file: file.clone(), line: lexer.line };
            let (words, block) = match event.map_err(|error| place(error, &pos))? {
                Event::Directive { words, block } => (words, block),
                Event::BlockEnd if inside => return Ok(nodes),
                Event::BlockEnd => return Err(place("unexpected \"}\"".into(), &pos)),
                Event::Eof if inside => return Err(place("unexpected end of file, expecting \"}\"".into(), &pos)),
                Event::Eof => return Ok(nodes),
            };
            if depth > BLOCK_DEPTH {
                return Err(place("blocks are nested too deeply".into(), &pos));
            }
            let name = String::from_utf8_lossy(&words[0]).into_owned();
            if name == "include" && !block {
                if words.len() != 2 {
                    let error = "invalid number of arguments in \"include\" directive";
                    return Err(place(error.into(), &pos));
                }
                nodes.extend(self.include(&words[1], at, items, &pos)?);
                continue;
            }
            if let Some(Block::Items { item, .. }) = items {
                if block {
                    return Err(place("unexpected \"{\"".into(), &pos));
                }
                let d = Directive { name, words, pos, lua: None };
                item(self, &d).map_err(|error| place(error, &d.pos))?;
                continue;
            }
            let row = self.row(&name, &words, block, at).map_err(|error| place(error, &pos))?;
            let mut node = Node { words: words.clone(), pos: pos.clone(), children: None, lua: None };
            let mut d = Directive { name, words, pos, lua: None };
            if let Block::Lua = row.block {
                let text = lexer.lua_block();
                let text = text.map_err(|error| place(error, &Pos { file: file.clone(), line: lexer.line }))?;
                d.lua = Some(Arc::from(text));
                node.lua = d.lua.clone();
            }
            (row.set)(self, &d).map_err(|error| place(error, &d.pos))?;
            match row.block {
                Block::No | Block::Lua => {}
                Block::Open { inner, leave } => {
                    let children = self.directives(lexer, file, inner, None, true, depth + 1)?;
                    node.children = Some(children);
                    leave(self).map_err(|error| place(error, &Pos { file: file.clone(), line: lexer.line }))?;
                }
                Block::Items { leave, .. } => {
                    self.directives(lexer, file, 0, Some(row.block), true, depth + 1)?;
                    leave(self).map_err(|error| place(error, &Pos { file: file.clone(), line: lexer.line }))?;
                }
            }
            nodes.push(node);
        }
    }

    fn row(&self, name: &str, words: &[Word], block: bool, at: u32) -> Result<&'static Row, String> {
        let rows = directives::find(name);
        if rows.is_empty() {
            return Err(format!("unknown directive \"{name}\""));
        }
        let Some(row) = rows.iter().find(|row| row.at & at != 0).copied() else {
            return Err(format!("\"{name}\" directive is not allowed here"));
        };
        if row.block.is_block() && !block {
            return Err(format!("directive \"{name}\" has no opening \"{{\""));
        }
        if !row.block.is_block() && block {
            return Err(format!("directive \"{name}\" is not terminated by \";\""));
        }
        if !arity::fits(row.args, words.len() - 1) {
            return Err(format!("invalid number of arguments in \"{name}\" directive"));
        }
        Ok(row)
    }

    fn include(&mut self, word: &[u8], at: u32, items: Option<Block>, pos: &Pos) -> Result<Vec<Node>, String> {
        let text = String::from_utf8_lossy(word).into_owned();
        let path = self.conf_prefix.join(&text);
        let paths = match &self.snapshot {
            _ if !glob::is_pattern(&text) => vec![path],
            Some(files) => glob::select(&path, files.iter().map(|(name, _)| name)),
            None => glob::expand(&path),
        };
        if self.depth >= INCLUDE_DEPTH {
            return Err(place("include files are nested too deeply".into(), pos));
        }
        self.depth += 1;
        let mut nodes = Vec::new();
        for path in paths {
            match self.file(&path, at, items) {
                Ok(more) => nodes.extend(more),
                // Only a file that cannot be opened has no place yet: the include itself is at fault.
                Err(error) if error.starts_with("open() ") && !error.contains(" in /") => {
                    return Err(place(error, pos));
                }
                Err(error) => return Err(error),
            }
        }
        self.depth -= 1;
        Ok(nodes)
    }

    // What rows are made of.

    /// The settings of the level that is open.
    pub fn settings(&mut self) -> &mut Settings {
        &mut self.location().settings
    }
    /// The level that is open as a location: http and server are ones, too.
    pub fn location(&mut self) -> &mut LocationDraft {
        let open =
            self.frames.iter().rposition(|f| matches!(f, Frame::Http(_) | Frame::Server(_) | Frame::Location(_)));
        match open.map(|at| &mut self.frames[at]) {
            Some(Frame::Http(location) | Frame::Location(location)) => location,
            Some(Frame::Server(server)) => &mut server.location,
            // The tables allow such directives inside of http only.
            _ => &mut self.http.get_or_insert_with(HttpDraft::default).outside,
        }
    }
    pub fn http(&mut self) -> &mut HttpDraft {
        self.http.get_or_insert_with(HttpDraft::default)
    }
    pub fn value(&mut self, text: &[u8]) -> Result<Value, String> {
        Value::compile(text, &mut self.http().names)
    }

    pub fn put<T>(&mut self, d: &Directive, slot: fn(&mut Settings) -> &mut Option<T>, value: T) -> Result<(), String> {
        let slot = slot(self.settings());
        if slot.is_some() {
            return Err(d.says("is duplicate"));
        }
        *slot = Some(value);
        Ok(())
    }
    pub fn flag(&mut self, d: &Directive, slot: fn(&mut Settings) -> &mut Option<bool>) -> Result<(), String> {
        if slot(self.settings()).is_some() {
            return Err(d.says("is duplicate"));
        }
        let value = on_off(d)?;
        self.put(d, slot, value)
    }
    pub fn size(&mut self, d: &Directive, slot: fn(&mut Settings) -> &mut Option<u64>) -> Result<(), String> {
        self.number_by(d, slot, scalar::size, "invalid value")
    }
    pub fn msec(&mut self, d: &Directive, slot: fn(&mut Settings) -> &mut Option<u64>) -> Result<(), String> {
        self.number_by(d, slot, scalar::msec, "invalid value")
    }
    pub fn number(&mut self, d: &Directive, slot: fn(&mut Settings) -> &mut Option<u64>) -> Result<(), String> {
        self.number_by(d, slot, scalar::number, "invalid number")
    }
    fn number_by(
        &mut self,
        d: &Directive,
        slot: fn(&mut Settings) -> &mut Option<u64>,
        parse: fn(&[u8]) -> Option<u64>,
        complaint: &str,
    ) -> Result<(), String> {
        if slot(self.settings()).is_some() {
            return Err(d.says("is duplicate"));
        }
        let value = parse(d.arg(0)).ok_or_else(|| d.says(complaint))?;
        self.put(d, slot, value)
    }
    /// Reports the second use of a main-level directive.
    pub fn once(&mut self, d: &Directive) -> Result<(), String> {
        if self.main.seen.contains(&d.name) {
            return Err(d.says("is duplicate"));
        }
        self.main.seen.push(d.name.clone());
        Ok(())
    }

    /// A relative name stands under the prefix.
    pub fn path(&self, word: &[u8]) -> PathBuf {
        self.prefix.join(String::from_utf8_lossy(word).as_ref())
    }
    pub fn log_file(&mut self, path: PathBuf) -> Arc<LogFile> {
        if let Some(file) = self.logs.iter().find(|file| file.path() == Some(&path)) {
            return file.clone();
        }
        let file = Arc::new(LogFile::new(path));
        self.logs.push(file.clone());
        file
    }

    /// The code of a `*_by_lua*` directive: `word` is its index among the arguments.
    pub fn code(&mut self, d: &Directive, word: usize) -> Result<Arc<Code>, String> {
        let tag = d.name.trim_end_matches("_block").trim_end_matches("_file");
        let (source, chunk_name) = if d.name.ends_with("_file") {
            if d.arg(word).contains(&b'$') {
                let path = self.value(d.arg(word))?;
                let id = self.codes;
                self.http().lua.main.dynamic.insert(id, path);
            }
            let path = self.path(d.arg(word));
            let name = [b"@", path.as_os_str().as_encoded_bytes()].concat();
            (Source::File(path), name)
        } else {
            let text = match &d.lua {
                Some(text) => text.clone(),
                None => Arc::from(d.arg(word)),
            };
            (Source::Inline(text), chunk_name(tag, &d.pos, &self.conf_prefix))
        };
        let id = self.codes;
        self.codes += 1;
        Ok(Arc::new(Code { id, source, chunk_name: Arc::from(chunk_name) }))
    }
    pub fn warn(&mut self, pos: &Pos, message: &str) {
        self.notes.push((Level::Warn, place(message.into(), pos)));
    }
}

pub fn on_off(d: &Directive) -> Result<bool, String> {
    match d.arg(0) {
        word if word.eq_ignore_ascii_case(b"on") => Ok(true),
        word if word.eq_ignore_ascii_case(b"off") => Ok(false),
        _ => Err(format!("invalid value \"{}\" in \"{}\" directive, it must be \"on\" or \"off\"", d.text(0), d.name)),
    }
}

/// `(2: No such file or directory)`
pub fn os_error(error: &std::io::Error) -> String {
    let Some(code) = error.raw_os_error() else { return format!("({error})") };
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    format!("({code}: {words})")
}

/// `=content_by_lua(nginx.conf:12)`: the main file without its directory, others as seen from it; what would be too long for
/// Lua's messages loses its beginning.
fn chunk_name(tag: &str, pos: &Pos, conf_prefix: &Path) -> Vec<u8> {
    const LONGEST: usize = 56;
    let line = pos.line.to_string();
    let room = LONGEST.saturating_sub(tag.len() + line.len());
    let inside = pos.file.strip_prefix(&*conf_prefix.to_string_lossy()).map(|file| file.trim_start_matches('/'));
    let (file, cut) = match inside {
        _ if pos.file.ends_with("/nginx.conf") => ("nginx.conf", ""),
        Some(file) if file.len() <= room => (file, ""),
        None if pos.file.len() <= room => (&*pos.file, ""),
        _ => {
            let from = (pos.file.len() + 3).saturating_sub(room);
            let from = (from..=pos.file.len()).find(|at| pos.file.is_char_boundary(*at));
            (&pos.file[from.unwrap_or(pos.file.len())..], "...")
        }
    };
    format!("={tag}({cut}{file}:{line})").into_bytes()
}

fn place(error: String, pos: &Pos) -> String {
    format!("{error} in {}:{}", pos.file, pos.line)
}
