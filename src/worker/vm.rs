//! Makes a worker's Lua from the configuration: the one place where the server and the ngx crate's machinery meet.

use std::rc::Rc;

use ngx::code::Code;
use ngx::log::{Level, Log};
use ngx::phase::Phase;
use ngx::request::Request;
use ngx::worker::{PhaseEnd, Setup};

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

/// One worker's VM, as the phases see it.
pub struct WorkerVm;

const MESSAGE: &[u8] = b"this build has no Lua";

impl WorkerVm {
    pub fn create(_setup: Setup, _log: Rc<dyn Log>) -> WorkerVm {
        WorkerVm
    }

    pub async fn run_phase(&self, request: &mut Request, phase: Phase, code: &Code) -> PhaseEnd {
        let _ = (phase, code);
        request.log.write(Level::Error, MESSAGE, Some(request));
        PhaseEnd::Failed
    }

    /// body_filter_by_lua*: one chunk of the response, and whether it is the last; gives back both, maybe changed.
    pub async fn body_filter(
        &self,
        request: &mut Request,
        code: &Code,
        chunk: Vec<u8>,
        last: bool,
    ) -> Result<(Vec<u8>, bool), PhaseEnd> {
        match self.run_phase(request, Phase::BodyFilter, code).await {
            PhaseEnd::Done => Ok((chunk, last)),
            end => Err(end),
        }
    }

    /// set_by_lua*: the value, from the arguments.
    pub async fn set(&self, request: &mut Request, code: &Code, args: Vec<Vec<u8>>) -> Result<Vec<u8>, PhaseEnd> {
        let _ = args;
        match self.run_phase(request, Phase::Set, code).await {
            PhaseEnd::Done => Ok(Vec::new()),
            end => Err(end),
        }
    }

    /// init_by_lua*, init_worker_by_lua*, exit_worker_by_lua*. Err: the message, as it is to be logged.
    pub async fn run_worker_phase(&self, _: Phase, _: &Code) -> Result<(), Vec<u8>> {
        Err(MESSAGE.to_vec())
    }

    /// Graceful exit: pending timers run, running ones end.
    pub async fn drain(&self) {}
}
