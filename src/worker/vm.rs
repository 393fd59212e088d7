//! Makes a worker's Lua from the configuration: the one place where the server and the ngx crate's machinery meet.

use std::rc::Rc;

use ngx::code::Code;
use ngx::log::{Level, Log};
use ngx::phase::Phase;
use ngx::request::{Local, Request};
use ngx::worker::{PhaseEnd, Runs, Setup};

use crate::conf::tree::{Http, Main};

/// What the configuration says, in the ngx crate's terms.
pub fn setup(main: &Main, http: &Http, worker_id: usize) -> Setup {
    let count = |value: Option<u64>, default: usize| {
        value.map_or(default, |value| usize::try_from(value).unwrap_or(usize::MAX))
    };
    let prefix = main.prefix.as_os_str().as_encoded_bytes();
    let expand = |path: &Option<Vec<u8>>| expand_prefix(path.as_deref().unwrap_or_default(), prefix);
    Setup {
        prefix: main.prefix.clone(),
        package_path: expand(&http.lua.package_path),
        package_cpath: expand(&http.lua.package_cpath),
        code_cache: http.settings.lua_code_cache.unwrap_or(true),
        worker_id,
        worker_count: main.worker_processes,
        max_running_timers: count(http.lua.max_running_timers, 256),
        max_pending_timers: count(http.lua.max_pending_timers, 1024),
        conf: super::lua_conf(&http.settings),
    }
}

/// `$prefix` and `${prefix}` in package paths.
fn expand_prefix(path: &[u8], prefix: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = memchr::memchr(b'$', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix(b"${prefix}").or(rest.strip_prefix(b"$prefix")) {
            out.extend_from_slice(prefix);
            rest = after;
        } else {
            out.push(b'$');
            rest = &rest[1..];
        }
    }
    out.extend_from_slice(rest);
    out
}

/// One worker's VM.
pub fn create(_setup: Setup) -> Rc<dyn Runs> {
    Rc::new(Without)
}

/// A build without the Lua machine: every piece of Lua fails, and says so.
struct Without;

const MESSAGE: &[u8] = b"this build has no Lua";

impl Runs for Without {
    fn run_phase<'a>(&'a self, request: &'a mut Request, _: Phase, _: &'a Code) -> Local<'a, PhaseEnd> {
        request.log.write(Level::Error, MESSAGE, Some(request));
        Box::pin(std::future::ready(PhaseEnd::Failed))
    }
    fn run_worker_phase<'a>(&'a self, _: Phase, _: &'a Code, log: Rc<dyn Log>) -> Local<'a, Result<(), Vec<u8>>> {
        log.write(Level::Error, MESSAGE, None);
        Box::pin(std::future::ready(Err(MESSAGE.to_vec())))
    }
    fn drain<'a>(&'a self) -> Local<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}
