//! The configuration as the server uses it: immutable once built, shared by all workers, swapped whole by a reload.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ngx::code::Code;
use ngx::phase::{Phase, Phases};
use ngx::thread_pool::PoolConf;

use super::regex::Regex;
use super::settings::Settings;
use super::value::{Names, Value, VarId};
use crate::log::{ErrorLog, LogFile};

/// Where a directive stands. The line is the one nginx would name.
#[derive(Clone, Debug, PartialEq)]
pub struct Pos {
    pub file: Arc<str>,
    pub line: u32,
}

/// A directive as it was written, with its children: what `-T`-like tools and messages look at.
#[derive(Clone, Debug)]
pub struct Node {
    pub words: Vec<Vec<u8>>,
    pub pos: Pos,
    pub children: Option<Vec<Node>>,
    /// The text of a `*_by_lua_block`.
    pub lua: Option<Arc<[u8]>>,
}

#[derive(Debug)]
pub struct Main {
    pub prefix: PathBuf,
    /// The directory of the configuration file.
    pub conf_prefix: PathBuf,
    /// The configuration file and every file it includes, with their contents (`-T`).
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// The files with certificates and keys that it names: like the others they are read once, by who has the right to.
    pub material: Vec<(PathBuf, Vec<u8>)>,
    pub nodes: Vec<Node>,
    pub daemon: bool,
    pub master_process: bool,
    pub worker_processes: usize,
    pub worker_connections: usize,
    pub worker_rlimit_nofile: Option<u64>,
    pub worker_rlimit_core: Option<u64>,
    pub worker_shutdown_timeout: Option<u64>,
    pub working_directory: Option<PathBuf>,
    pub pid: PathBuf,
    /// Whom the serving process belongs to; None: to whoever started it.
    pub user: Option<crate::worker::user::User>,
    pub env: Vec<(String, Option<String>)>,
    pub thread_pools: Vec<PoolConf>,
    pub error_log: Arc<[ErrorLog]>,
    /// Every log file, for reopening.
    pub log_files: Vec<Arc<LogFile>>,
    /// Lines that were gathered, to be written at the end.
    pub log_buffers: Vec<Arc<crate::log::buffer::Buffered>>,
    /// `error_log memory:`, in the configuration's order.
    pub memory_logs: Vec<Arc<crate::log::LogFile>>,
    /// Directories that the server writes to, where they have a name without variables.
    pub temp_paths: Vec<PathBuf>,
    pub http: Option<Arc<Http>>,
}

#[derive(Debug)]
pub struct Http {
    pub servers: Vec<Server>,
    /// Every location there is; all else names them by their number.
    pub locations: Vec<Location>,
    pub listens: Vec<Listen>,
    pub lua: LuaMain,
    pub names: Names,
    /// By VarId.
    pub vars: Vec<VarKind>,
    /// How many variables a request keeps values of.
    pub slots: usize,
    pub maps: Vec<Map>,
    pub geos: Vec<crate::http::modules::geo::Geo>,
    pub splits: Vec<crate::http::modules::split_clients::Split>,
    /// From and to: the tables of `charset_map`, both ways.
    pub charsets: HashMap<(Vec<u8>, Vec<u8>), Arc<crate::http::filter::Table>>,
    /// Settings of the http block itself.
    pub settings: Arc<Settings>,
}

/// A location's number, in `Http::locations`: what a request keeps of where it is costs no reference count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocationId(pub usize);

impl Http {
    pub fn location(&self, id: LocationId) -> &Location {
        &self.locations[id.0]
    }
}

/// What the http block says about Lua as a whole.
#[derive(Debug, Default)]
pub struct LuaMain {
    pub package_path: Option<Vec<u8>>,
    pub package_cpath: Option<Vec<u8>>,
    pub shared_dicts: Vec<(String, u64)>,
    pub max_running_timers: Option<u64>,
    pub max_pending_timers: Option<u64>,
    pub worker_thread_vm_pool_size: Option<u64>,
    pub thread_cache_max_entries: Option<u64>,
    pub regex_cache_max_entries: Option<u64>,
    pub regex_match_limit: Option<u64>,
    /// lua_capture_error_log: what is logged is kept there, too.
    pub captured: Option<Arc<ngx::captured::Captured>>,
    /// What Lua there is anywhere: in the phases that answer, in header or body filters, in body filters.
    pub answers: bool,
    pub filters: bool,
    pub body_filters: bool,
    pub init: Option<Arc<Code>>,
    pub init_worker: Option<Arc<Code>>,
    pub exit_worker: Option<Arc<Code>>,
    /// Paths of `*_by_lua_file` directives that have variables in them, by `Code::id`.
    pub dynamic: HashMap<usize, Value>,
    /// How many pieces of code there are: `Code::id` counts up to it.
    pub codes: usize,
}

/// One address to listen on, with the servers behind it.
#[derive(Clone, Debug)]
pub struct Listen {
    pub addr: Addr,
    pub backlog: Option<i32>,
    /// Every connection begins with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// The address as written in messages: `0.0.0.0:80`.
    pub text: String,
    /// Indexes into `Http::servers`; the first is the default unless one said default_server.
    pub servers: Vec<usize>,
    pub default: usize,
    pub names: ServerNames,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Addr {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Host name to server, in nginx's order of preference.
#[derive(Clone, Debug, Default)]
pub struct ServerNames {
    pub exact: HashMap<Vec<u8>, usize, ahash::RandomState>,
    /// `.example.com` parts of `*.example.com`.
    pub leading: Vec<(Vec<u8>, usize)>,
    /// `www.` parts of `www.*`.
    pub trailing: Vec<(Vec<u8>, usize)>,
    pub regexes: Vec<(Regex, usize)>,
}

#[derive(Debug)]
pub struct Server {
    /// The first server_name, for `$server_name` and the log's tail.
    pub name: Vec<u8>,
    pub names: Vec<ServerName>,
    /// The server level as a location: settings and rewrite rules that apply before a location is found.
    pub root: LocationId,
    pub locations: Locations,
    pub named: Vec<LocationId>,
}

#[derive(Clone, Debug)]
pub enum ServerName {
    Text(Vec<u8>),
    Regex(Regex),
}

#[derive(Debug, Default)]
pub struct Locations {
    pub exact: HashMap<Vec<u8>, LocationId, ahash::RandomState>,
    /// Longest first.
    pub prefixes: Vec<LocationId>,
    pub regexes: Vec<LocationId>,
}

#[derive(Debug)]
pub struct Location {
    pub name: Vec<u8>,
    pub kind: LocationKind,
    pub settings: Settings,
    /// Which response filters it needs: `http::filter::wanted`.
    pub filters: u32,
    /// Which phases before its content have something to do: `http::phases::wanted`.
    pub work: Phases,
    pub internal: bool,
    pub handler: Handler,
    pub rewrite: Vec<Op>,
    pub nested: Locations,
    /// `if` blocks: reached by index from rewrite instructions.
    pub ifs: Vec<LocationId>,
    /// `limit_except`: the methods that are spared, and the location that all others get.
    pub except: Option<(Vec<Vec<u8>>, LocationId)>,
}

impl Location {
    /// Whether a phase before the content has something to do.
    pub fn works_in(&self, phase: Phase) -> bool {
        self.work & phase.bit() != 0
    }
}

#[derive(Debug)]
pub enum LocationKind {
    Server,
    Exact,
    Prefix { no_regex: bool },
    Regex(Regex),
    Named,
    If,
}

#[derive(Clone, Debug, Default)]
pub enum Handler {
    /// Index and static files.
    #[default]
    Files,
    Lua(Arc<Code>),
    /// A lua file name with variables in it, compiled when it is known.
    Echo(Arc<[Echo]>),
    StubStatus,
    PeriluneStatus,
    EmptyGif,
}

#[derive(Clone, Debug)]
pub enum Echo {
    #[cfg(debug_assertions)]
    Panic,
    Say {
        values: Vec<Value>,
        newline: bool,
    },
    Flush,
    Sleep(Value),
    ReadBody,
    RequestBody,
    Duplicate {
        times: Value,
        text: Value,
    },
    ResetTimer,
    Exec {
        uri: Value,
        args: Option<Value>,
    },
    Status(u16),
    /// `echo_location`, `echo_subrequest` and their kin.
    Subrequest {
        /// Whether the commands behind it wait for its end.
        wait: bool,
        method: Option<Value>,
        uri: Value,
        args: Option<Value>,
        body: Option<Value>,
        body_file: Option<Value>,
    },
}

/// Rewrite instructions, run in order.
#[derive(Clone, Debug)]
pub enum Op {
    Set {
        slot: VarId,
        value: Value,
    },
    SetByLua {
        slot: VarId,
        code: Arc<Code>,
        args: Vec<Value>,
    },
    SetMisc {
        slot: VarId,
        function: &'static crate::http::set_misc::Function,
        /// Where `set_rotate` is at this place of the configuration.
        place: Arc<std::sync::atomic::AtomicI64>,
        args: Vec<Value>,
    },
    Return(Return),
    Rewrite(Rewrite),
    Break,
    /// When the condition holds: run the block's own rewrite instructions with it as the location.
    If {
        test: Test,
        block: usize,
    },
}

#[derive(Clone, Debug)]
pub struct Return {
    pub status: u16,
    pub text: Option<Value>,
}

#[derive(Clone, Debug)]
pub struct Rewrite {
    pub regex: Regex,
    pub to: Value,
    pub end: RewriteEnd,
    /// The replacement is an absolute URL or `redirect`/`permanent` was given: answer with this status.
    pub redirect: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RewriteEnd {
    Next,
    Last,
    Break,
}

#[derive(Clone, Debug)]
pub enum Test {
    True(Value),
    Equal { value: Value, to: Value, not: bool },
    Match { value: Value, regex: Regex, not: bool },
    File { path: Value, kind: FileTest, not: bool },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FileTest {
    File,
    Directory,
    Exists,
    Executable,
}

/// How a variable gets its value.
#[derive(Clone, Debug)]
pub enum VarKind {
    /// Kept with the request: `set`, `set_by_lua`, named captures.
    Slot(usize),
    /// Of these the request keeps the first value, unless they are `volatile`.
    Map {
        number: usize,
        volatile: bool,
    },
    Geo {
        number: usize,
        volatile: bool,
    },
    Split(usize),
    Builtin(crate::http::vars::Builtin),
    /// `http_NAME`, `arg_NAME`, `cookie_NAME`, `sent_http_NAME`.
    Family(crate::http::vars::Family, Vec<u8>),
}

/// `map SOURCE $name { ... }`.
#[derive(Debug)]
pub struct Map {
    /// Keys are host names: one that ends in a dot is the same without it.
    pub hostnames: bool,
    pub source: Value,
    pub exact: HashMap<Vec<u8>, Value>,
    pub leading: Vec<(Vec<u8>, Value)>,
    pub trailing: Vec<(Vec<u8>, Value)>,
    pub regexes: Vec<(Regex, Value)>,
    pub default: Option<Value>,
}
