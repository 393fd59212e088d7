//! A worker, a request with a made-up client, and `check`.
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ngx::bytes::Bytes;
use ngx::code::{Code, Source};
use ngx::headers::Headers;
use ngx::log::{Level, Log};
use ngx::phase::Phase;
use ngx::request::{
    Body, BodyError, ClientGone, Exchange, Finish, Local, LuaConf, NoVariable, Request, SubrequestOptions,
    SubrequestResult,
};
use ngx::shdict::Zone;
use ngx::worker::{PhaseEnd, Setup, Worker};

#[derive(Default)]
struct Lines(RefCell<Vec<String>>);

impl Log for Lines {
    fn enabled(&self, level: Level) -> bool {
        level <= Level::Error
    }
    fn write(&self, level: Level, message: &[u8], _: Option<&Request>) {
        let text = String::from_utf8_lossy(message);
        let text = text.split("\nstack traceback:").next().unwrap_or_default();
        self.0.borrow_mut().push(format!("[{}] {text}", level.name()));
    }
}

struct Client {
    conf: LuaConf,
    body: &'static str,
}

impl Exchange for Client {
    fn read_body<'a>(&'a self, _: bool) -> Local<'a, Result<Body, BodyError>> {
        Box::pin(async {
            tokio::task::yield_now().await;
            match self.body {
                "too large" => Err(BodyError::Status(413)),
                body => Ok(Body::Memory(Bytes::from_static(body.as_bytes()))),
            }
        })
    }
    fn send<'a>(&'a self, _: &'a mut Request, _: bool, _: bool) -> Local<'a, Result<(), ClientGone>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn variable(&self, _: &Request, name: &[u8]) -> Result<Option<Vec<u8>>, NoVariable> {
        if name == b"host" { Ok(Some(b"example.org".to_vec())) } else { Err(NoVariable::NotFound) }
    }
    fn may_set_variable(&self, _: &[u8]) -> Result<(), NoVariable> {
        Ok(())
    }
    fn set_variable(&self, _: &mut Request, _: &[u8], _: Option<Vec<u8>>) -> Result<(), NoVariable> {
        Err(NoVariable::NotFound)
    }
    fn postpone_output(&self) -> usize {
        usize::MAX
    }
    fn lua_conf(&self) -> &LuaConf {
        &self.conf
    }
    fn client_gone<'a>(&'a self) -> Local<'a, ()> {
        let goes = self.body == "goes away";
        Box::pin(async move { if goes { tokio::task::yield_now().await } else { std::future::pending().await } })
    }
    /// Answers with what it was asked.
    fn subrequest(self: Rc<Self>, parent: &Request, options: SubrequestOptions) -> Local<'static, SubrequestResult> {
        let mut text = format!("{} {}", options.method, String::from_utf8_lossy(&options.uri));
        if let Some(args) = &options.args {
            text.push_str(&format!("?{}", String::from_utf8_lossy(args)));
        }
        if let Some(body) = &options.body {
            text.push_str(&format!(" body={}", String::from_utf8_lossy(body)));
        }
        for (name, value) in &options.variables {
            text.push_str(&format!(" ${}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        }
        if options.share_all_vars || options.copy_all_vars || options.always_forward_body {
            let flags = (options.share_all_vars, options.copy_all_vars, options.always_forward_body);
            text.push_str(&format!(" {flags:?}"));
        }
        let mut headers = Headers::new();
        headers.add("X-Parent", parent.method.clone());
        headers.add("Set-Cookie", "a=1");
        headers.add("Set-Cookie", "b=2");
        Box::pin(async move {
            let slow = options.uri == b"/slow";
            tokio::time::sleep(std::time::Duration::from_millis(if slow { 20 } else { 1 })).await;
            SubrequestResult { status: 200, headers, body: text.into_bytes(), truncated: slow }
        })
    }
}

/// What a snippet runs under.
pub struct Given {
    pub phase: Phase,
    pub body: &'static str,
    pub conf: LuaConf,
}

impl Default for Given {
    fn default() -> Self {
        Given { phase: Phase::Content, body: "", conf: LuaConf::default() }
    }
}

/// Runs snippets under the defaults.
#[track_caller]
pub fn check(rows: &[(&str, &str)]) {
    check_given(&Given::default(), rows);
}

#[track_caller]
pub fn check_given(given: &Given, rows: &[(&str, &str)]) {
    let found: Vec<String> = runtime().block_on(tokio::task::LocalSet::new().run_until(async {
        let log = Rc::new(Lines::default());
        let zones = vec![Zone::new("dogs", 100 * 1024), Zone::new("cats", 16 * 1024)];
        let worker = Worker::new(Setup { zones, prefix: std::env::temp_dir(), ..Setup::default() }, log.clone());
        let mut found = Vec::new();
        for (source, _) in rows {
            found.push(run(&worker, &log, given, source).await);
        }
        found
    }));
    let wrong: Vec<String> = rows
        .iter()
        .zip(&found)
        .filter(|((_, expected), found)| expected != found)
        .map(|((source, expected), found)| format!("{source}\n  expected: {expected:?}\n  found:    {found:?}"))
        .collect();
    assert!(wrong.is_empty(), "{} of {} rows differ:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn run(worker: &Rc<Worker>, log: &Rc<Lines>, given: &Given, source: &str) -> String {
    let code = Code {
        id: 0,
        source: Source::Inline(Arc::from(source.as_bytes())),
        chunk_name: Arc::from(b"=content_by_lua(t:1)".as_slice()),
    };
    let mut request = request(log.clone(), given);
    let end =
        tokio::time::timeout(std::time::Duration::from_secs(60), worker.run_phase(&mut request, given.phase, &code))
            .await
            .expect("a snippet ends");
    let mut text = String::from_utf8_lossy(&request.output.pending).into_owned();
    for line in log.0.borrow_mut().drain(..) {
        text.push_str(&line);
        text.push('\n');
    }
    match end {
        PhaseEnd::Finish(Finish::Exit(status)) => text.push_str(&format!("exit {status}\n")),
        PhaseEnd::Finish(finish) => text.push_str(&format!("{finish:?}\n")),
        PhaseEnd::Aborted => text.push_str("aborted\n"),
        PhaseEnd::Done | PhaseEnd::Failed => {}
    }
    text
}

fn request(log: Rc<Lines>, given: &Given) -> Request {
    let exchange = Rc::new(Client { conf: given.conf.clone(), body: given.body });
    let mut request = Request::bare(log, exchange);
    request.method = "POST".into();
    request.version = 11;
    request.target = "/a?x=1".into();
    request.uri = b"/a".to_vec();
    request.args = Some(b"x=1&y&x=2&z=%20+".to_vec());
    request.request_line = "POST /a?x=1 HTTP/1.1".into();
    request.raw_head = "POST /a?x=1 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\n".into();
    request.start_ms = 1_500;
    for (name, value) in [("Host", "h"), ("X-A", "1"), ("x-a", "2"), ("Foo_Bar", "u"), ("Content-Length", "3")] {
        request.headers.add(name, value);
    }
    request
}
