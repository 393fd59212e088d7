//! Workers: one thread each, with a runtime, listeners and a VM of its own. This file is what a worker's connections and
//! requests see of it; `thread` runs one, `crew` replaces those that die, `server` runs them all, `master` is the parent
//! process that supervises it, `listen` makes their sockets, `daemon` detaches, `environment` is what is left of it.

pub mod counts;
mod crew;
pub mod daemon;
pub mod environment;
mod handover;
mod limits;
pub mod listen;
pub mod master;
pub mod pid;
pub mod server;
mod signals;
pub mod thread;
pub mod user;
pub mod vm;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ngx::bytes::Bytes;
use ngx::code::{Code, Source};
use ngx::places::Places;
use ngx::request::{Connection, LuaConf};
use tokio::sync::Notify;

use crate::conf::settings::Settings;
use crate::conf::tree::{Http, LocationId, Main};
use vm::WorkerVm;

pub use counts::{Busy, Counts};

pub struct Worker {
    pub id: usize,
    pub main: Arc<Main>,
    pub http: Arc<Http>,
    pub lua: Rc<WorkerVm>,
    pub counts: Arc<Counts>,
    pub busy: Arc<Busy>,
    /// Requests in service, and clients' connections.
    pub active: Cell<u64>,
    pub open: Cell<u64>,
    /// Of all connections: the clients' and those of Lua.
    pub places: Rc<Places>,
    pub quitting: Cell<bool>,
    /// Wakes idle connections when the worker is to quit.
    pub quit: Notify,
    /// Woken whenever a request or a connection ends.
    pub idle: Notify,
    pub open_files: crate::http::open_files::OpenFiles,
    /// By location.
    lua_confs: Vec<OnceCell<LuaConf>>,
    dynamic_codes: RefCell<HashMap<PathBuf, Arc<Code>>>,
    /// Turn a request's number into what nobody can guess.
    secrets: [RandomState; 2],
    seed: u64,
    next: Cell<u64>,
}

impl Worker {
    pub fn new(
        id: usize,
        main: Arc<Main>,
        http: Arc<Http>,
        counts: Arc<Counts>,
        lua: Rc<WorkerVm>,
        places: Rc<Places>,
    ) -> Worker {
        let seed = RandomState::new().hash_one(id);
        Worker {
            id,
            main,
            lua,
            busy: counts.enlist(),
            counts,
            active: Cell::new(0),
            open: Cell::new(0),
            places,
            quitting: Cell::new(false),
            quit: Notify::new(),
            idle: Notify::new(),
            open_files: Default::default(),
            lua_confs: vec![OnceCell::new(); http.locations.len()],
            dynamic_codes: RefCell::default(),
            secrets: [RandomState::new(), RandomState::new()],
            seed,
            next: Cell::new(0),
            http,
        }
    }

    /// The settings of an address's default server: what counts before a request's own server is known.
    pub fn default_settings(&self, listen: usize) -> &Settings {
        let server = &self.http.servers[self.http.listens[listen].default];
        &self.http.location(server.root).settings
    }

    /// Code from a file that only a request names; kept like the configuration's own.
    pub fn dynamic_code(&self, path: PathBuf) -> Arc<Code> {
        let mut known = self.dynamic_codes.borrow_mut();
        let id = self.http.lua.codes + known.len();
        let make = |path: &PathBuf| {
            let name = [b"@", path.as_os_str().as_encoded_bytes()].concat();
            Arc::new(Code { id, source: Source::File(path.clone()), chunk_name: Arc::from(name) })
        };
        known.entry(path).or_insert_with_key(make).clone()
    }

    /// A client ended an idle connection: worth a word at level info.
    pub fn say_closed(&self, client: &Connection, listen: usize) {
        let address = String::from_utf8_lossy(&client.remote_addr);
        self.say(client, listen, ngx::log::Level::Info, &format!("client {address} closed keepalive connection"));
    }

    /// A word about a connection, where there is no request to speak of.
    pub fn say(&self, client: &Connection, listen: usize, level: ngx::log::Level, message: &str) {
        let logs = self.default_settings(listen).error_log.clone().unwrap_or_else(|| self.main.error_log.clone());
        let captured = self.http.lua.captured.as_deref();
        crate::log::write(&logs, captured, level, client.number, message.as_bytes(), b"");
    }

    /// A request's number: different each time.
    pub fn next_id(&self) -> u64 {
        self.busy.requests.add(1);
        self.next.set(self.next.get() + 1);
        // One step of splitmix64.
        let mut x = self.seed.wrapping_add(self.next.get().wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
    /// `$request_id` of the request with that number: 128 bits that cannot be guessed from those of others.
    pub fn request_id(&self, number: u64) -> [u64; 2] {
        self.secrets.each_ref().map(|secret| secret.hash_one(number))
    }
    pub fn next_temp(&self) -> u64 {
        self.counts.temp_files.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What Lua at that location sees of the configuration; made on first use.
    pub fn lua_conf(&self, location: LocationId) -> &LuaConf {
        self.lua_confs[location.0].get_or_init(|| lua_conf(&self.http.location(location).settings))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.counts.dismiss(&self.busy);
    }
}

pub fn lua_conf(s: &Settings) -> LuaConf {
    let d = LuaConf::default();
    let number =
        |value: Option<u64>, default: usize| value.map_or(default, |value| usize::try_from(value).unwrap_or(default));
    LuaConf {
        socket_connect_timeout: s.lua_socket_connect_timeout.unwrap_or(d.socket_connect_timeout),
        socket_send_timeout: s.lua_socket_send_timeout.unwrap_or(d.socket_send_timeout),
        socket_read_timeout: s.lua_socket_read_timeout.unwrap_or(d.socket_read_timeout),
        socket_keepalive_timeout: s.lua_socket_keepalive_timeout.unwrap_or(d.socket_keepalive_timeout),
        socket_pool_size: number(s.lua_socket_pool_size, d.socket_pool_size),
        socket_buffer_size: number(s.lua_socket_buffer_size, d.socket_buffer_size),
        tcp_nodelay: s.tcp_nodelay.unwrap_or(true),
        socket_log_errors: s.lua_socket_log_errors.unwrap_or(true),
        http10_buffering: s.lua_http10_buffering.unwrap_or(true),
        check_client_abort: s.lua_check_client_abort.unwrap_or(false),
        need_request_body: s.lua_need_request_body.unwrap_or(false),
        use_default_type: s.lua_use_default_type.unwrap_or(true),
        transform_underscores: s.lua_transform_underscores.unwrap_or(true),
        code_cache: s.lua_code_cache.unwrap_or(true),
        client_body_buffer_size: number(s.client_body_buffer_size, d.client_body_buffer_size),
        default_type: s.default_type.as_ref().map_or(d.default_type, |kind| Bytes::copy_from_slice(kind)),
        resolver: s.resolver.clone(),
        resolver_timeout: s.resolver_timeout.unwrap_or(d.resolver_timeout),
        tls: s.lua_tls.clone().unwrap_or(d.tls),
    }
}
