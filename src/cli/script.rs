//! What `perilune run` runs on: a worker without a server, whose output is standard output.

use std::cell::RefCell;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use ngx::code::{Code, Source};
use ngx::log::{Level, Log};
use ngx::phase::Phase;
use ngx::request::{Body, BodyError, ClientGone, Exchange, Finish, Local, LuaConf, NoVariable, Request};
use ngx::worker::{PhaseEnd, Setup, Worker};

use crate::cli::identity;

/// A piece of Lua to run.
pub struct Chunk {
    pub source: Source,
    /// `@script.lua`, `=(command line)`
    pub name: Vec<u8>,
}

/// Runs chunks one after the other, up to the first that fails, and waits for the timers they started.
pub fn run(chunks: Vec<Chunk>, package_path: Vec<u8>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("perilune: cannot make a runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let tasks = tokio::task::LocalSet::new();
    runtime.block_on(tasks.run_until(all(chunks, package_path)))
}

async fn all(chunks: Vec<Chunk>, package_path: Vec<u8>) -> ExitCode {
    let log: Rc<dyn Log> = Rc::new(Stderr);
    let mut prefix = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    prefix.push("");
    let setup = Setup {
        prefix,
        package_path,
        code_cache: true,
        single: true,
        worker_count: 1,
        configure: identity::CONFIGURE,
        ..Setup::default()
    };
    let worker = Worker::new(setup, log.clone());
    let mut code = ExitCode::SUCCESS;
    for (id, chunk) in chunks.into_iter().enumerate() {
        let chunk = Code { id, source: chunk.source, chunk_name: Arc::from(chunk.name) };
        let exchange = Rc::new(Stdout { conf: LuaConf::default(), out: RefCell::new(std::io::stdout()) });
        let mut request = Request::bare(log.clone(), exchange.clone());
        let end = worker.run_phase(&mut request, Phase::Content, &chunk).await;
        let _ = exchange.send(&mut request, true, true).await;
        match end {
            PhaseEnd::Done | PhaseEnd::Finish(Finish::Exit(0)) => {}
            PhaseEnd::Finish(Finish::Exit(status)) => {
                code = ExitCode::from(u8::try_from(status & 255).unwrap_or(1));
                break;
            }
            _ => {
                code = ExitCode::FAILURE;
                break;
            }
        }
    }
    worker.drain().await;
    code
}

/// Log lines, as a terminal wants them.
struct Stderr;

impl Log for Stderr {
    fn enabled(&self, level: Level) -> bool {
        level <= Level::Notice
    }
    fn write(&self, level: Level, message: &[u8], _: Option<&Request>) {
        let line = [b"[".as_slice(), level.name().as_bytes(), b"] ", message, b"\n"].concat();
        let _ = std::io::stderr().write_all(&line);
    }
}

/// A "client" that is the standard output.
struct Stdout {
    conf: LuaConf,
    out: RefCell<std::io::Stdout>,
}

impl Exchange for Stdout {
    fn read_body<'a>(&'a self, _discard: bool) -> Local<'a, Result<Body, BodyError>> {
        Box::pin(std::future::ready(Ok(Body::Discarded)))
    }
    fn send<'a>(&'a self, request: &'a mut Request, _: bool, _: bool) -> Local<'a, Result<(), ClientGone>> {
        let mut out = self.out.borrow_mut();
        let done = out.write_all(&request.output.pending).and_then(|()| out.flush());
        if done.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
            // Nobody reads any more (`| head`): a script that prints for ever ends here, as others do by SIGPIPE.
            std::process::exit(1);
        }
        request.output.pending.clear();
        request.output.flush = false;
        request.response.sent = true;
        Box::pin(std::future::ready(done.map_err(|_| ClientGone)))
    }
    fn variable(&self, _: &Request, _: &[u8]) -> Result<Option<Vec<u8>>, NoVariable> {
        Err(NoVariable::NotFound)
    }
    fn may_set_variable(&self, _: &[u8]) -> Result<(), NoVariable> {
        Err(NoVariable::NotFound)
    }
    fn set_variable(&self, _: &mut Request, _: &[u8], _: Option<Vec<u8>>) -> Result<(), NoVariable> {
        Err(NoVariable::NotFound)
    }
    fn lua_conf(&self) -> &LuaConf {
        &self.conf
    }
    fn client_gone<'a>(&'a self) -> Local<'a, ()> {
        Box::pin(std::future::pending())
    }
}

/// `print`, and `arg`, as the lua command sets it: the script at 0, its arguments behind it, the program and its options before it.
pub fn arg_table(words: &[String], script: usize) -> Chunk {
    let mut source = PRINT.as_bytes().to_vec();
    source.extend_from_slice(b"rawset(_G, 'arg', {");
    for (n, word) in words.iter().enumerate() {
        let index = i64::try_from(n).unwrap_or(0) - i64::try_from(script).unwrap_or(0);
        source.extend_from_slice(format!("[{index}]=").as_bytes());
        source.extend_from_slice(&quoted(word.as_bytes()));
        source.push(b',');
    }
    source.extend_from_slice(b"})");
    Chunk { source: Source::Inline(Arc::from(source)), name: b"=(arguments)".to_vec() }
}

/// On a command line `print` is for the terminal, not for the log; in timers too, where `ngx.say` is not allowed.
const PRINT: &str = "rawset(_G, 'print', function(...) local t = {...} \
    for i = 1, select('#', ...) do t[i] = tostring(t[i]) end local line = table.concat(t, '\\t') \
    if ngx.get_phase() == 'content' then ngx.say(line) else io.write(line, '\\n') end end) ";

/// As a Lua string.
pub fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => out.push(byte),
            _ => out.extend_from_slice(format!("\\{byte:03}").as_bytes()),
        }
    }
    out.push(b'"');
    out
}
