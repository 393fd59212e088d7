//! Made-up configurations and requests: whatever they say, nothing panics and nothing hangs. Each comes from a number, which a
//! failure names; PERILUNE_FUZZ=FACTOR makes that many times as many.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ngx::bytes::Bytes;
use perilune::conf::directives::{Block, TABLES};
use perilune::conf::names::Names;
use perilune::conf::{Origin, load};
use perilune::conn::head::{self, Limits};

use crate::dice::{Dice, rounds};
use crate::support::{PATIENCE, Server};

/// Bytes that mean something to a configuration or a request.
const SPECIAL: &[u8] = b"{};\"'\\$#\r\n\t %:/~";

const WORDS: &[&str] = &[
    "on",
    "off",
    "0",
    "1",
    "-1",
    "10k",
    "99999999999999999999",
    "1h 30m",
    "5s",
    "/",
    "/a",
    "~",
    "~*",
    "^~",
    "=",
    "@n",
    "$uri",
    "$a",
    "${a}",
    "$",
    "${",
    "$1",
    "\"a b\"",
    "'x",
    "\"",
    "*.a",
    "a.*",
    "~^(.*)$",
    "~(",
    "127.0.0.1:0",
    "[::1]:80",
    "unix:/x",
    "default",
    "404",
    "200",
    "=200",
    "html",
    "logs/x.log",
    "syslog:server=127.0.0.1:1",
    "*",
    "last",
    "break",
    "permanent",
    "if=$a",
    "combined",
    "main",
    "zone=z:1m",
    "rate=1r/s",
    "burst=1",
    "10.0.0.0/8",
    "all",
    "text/*",
    "\\",
    "\\\"",
    "inherit",
    "a=b",
    "key",
    "shared",
    "default_server",
    "ssl",
    "-f",
    "!-e",
    "volatile",
    "hostnames",
    "include",
    "none",
    "blocked",
    "0.5%",
    "http://a/",
    "\u{e4}",
    "x;y",
    "a{b",
    "}",
    "{",
    ";",
    "#",
];

/// A configuration: mostly what is one, from the directives' own rows.
fn configuration(dice: &mut Dice) -> Vec<u8> {
    let rows: Vec<_> = TABLES.iter().flat_map(|table| table.iter()).collect();
    let mut out = b"events {}\n".to_vec();
    let mut open = 0;
    if dice.roll(4) > 0 {
        out.extend_from_slice(b"http {\n");
        open += 1;
        if dice.roll(4) > 0 {
            out.extend_from_slice(b"server {\n");
            open += 1;
        }
    }
    for _ in 0..dice.roll(24) {
        let row = rows[dice.roll(rows.len())];
        out.extend_from_slice(row.name.as_bytes());
        for _ in 0..dice.roll(4) {
            out.push(b' ');
            out.extend_from_slice(dice.one(WORDS).as_bytes());
        }
        let block = matches!(row.block, Block::No) == (dice.roll(12) == 0);
        match dice.roll(3) {
            _ if !block => out.extend_from_slice(b";\n"),
            0 => out.extend_from_slice(b" { }\n"),
            _ => {
                out.extend_from_slice(b" {\n");
                open += 1;
            }
        }
        if open > 0 && dice.roll(4) == 0 {
            out.extend_from_slice(b"}\n");
            open -= 1;
        }
    }
    out.extend(std::iter::repeat_n(b'}', open));
    if dice.roll(3) == 0 {
        dice.mutate(&mut out, SPECIAL);
    }
    out
}

/// Runs `one` for every number and waits for it, but not for ever.
fn in_time(count: u64, one: impl Fn(u64) + Send + 'static) {
    let done = Arc::new(AtomicU64::new(0));
    let seen = done.clone();
    let thread = std::thread::spawn(move || {
        for number in 0..count {
            one(number);
            seen.store(number + 1, Ordering::SeqCst);
        }
    });
    let (mut last, mut since) = (0, Instant::now());
    while !thread.is_finished() {
        let now = done.load(Ordering::SeqCst);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "number {now} hangs");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(thread.join().is_ok(), "number {} panics", done.load(Ordering::SeqCst));
}

fn judge(text: &[u8]) -> Result<(), String> {
    let path = PathBuf::from("/none/conf/nginx.conf");
    let origin = Origin {
        prefix: PathBuf::from("/none/"),
        file: PathBuf::from("conf/nginx.conf"),
        error_log: PathBuf::from("logs/error.log"),
        globals: None,
        text: None,
        snapshot: Some(Arc::from([(path, text.to_vec())])),
        // (made-up names are nothing to ask real name servers for)
        names: Names::Nobody,
    };
    load(&origin, &mut Vec::new()).map(drop)
}

#[test]
fn made_up_configurations_are_judged() {
    // (the generator makes some that are right, or it would test little)
    let right = Arc::new(AtomicU64::new(0));
    let (count, seen) = (rounds(6000), right.clone());
    in_time(count, move |number| match judge(&configuration(&mut Dice(number))) {
        Ok(()) => drop(seen.fetch_add(1, Ordering::SeqCst)),
        Err(error) => assert!(!error.is_empty()),
    });
    assert!(right.load(Ordering::SeqCst) > count / 100, "{right:?} of {count}");
}

/// A configuration that is right, with something wrong in it.
#[test]
fn spoilt_configurations_are_judged() {
    let sound = [include_str!("wire/nginx.conf"), include_str!("../bench/http/backend.conf.in")];
    let sound = sound.map(|text| text.replace("PORT", "8080").replace("@BACKEND@", "8081"));
    in_time(rounds(6000), move |number| {
        let mut dice = Dice(number);
        let mut text = sound[dice.roll(2)].clone().into_bytes();
        for _ in 0..=dice.roll(3) {
            dice.mutate(&mut text, SPECIAL);
        }
        let _ = judge(&text);
    });
}

const LINES: &[&str] = &[
    "Host: a",
    "Host: b",
    "Content-Length: 3",
    "Content-Length: 30000",
    "Transfer-Encoding: chunked",
    "Connection: close",
    "Connection: keep-alive",
    "Expect: 100-continue",
    "Range: bytes=0-1,3-4",
    "Range: bytes=-2",
    "If-None-Match: *",
    "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
    "Accept-Encoding: gzip",
    "Cookie: a=b; c",
    "X: \u{e4}",
    "X:",
    "X",
    "Referer: http://x/",
    "Authorization: Basic YTpi",
    "Content-Type: multipart/form-data; boundary=x",
    "A_B: c",
    " fold",
    "TE: x",
];
const TARGETS: &[&str] = &[
    "/",
    "/a",
    "/read",
    "/read?a=%41&b",
    "/file/x",
    "/file/",
    "/file",
    "/lua?x",
    "/rw/a/b",
    "/try/x",
    "/%2e%2e/",
    "/%zz",
    "//a/../b",
    "http://a/x",
    "*",
    "/sub/x",
    "/gz",
    "/echo",
    "/a b",
    "/\u{1}",
    "/file/%00",
    "/args?%3d=&&=",
    "/sleep",
];
const BODIES: &[&str] = &[
    "",
    "abc",
    "3\r\nabc\r\n0\r\n\r\n",
    "0\r\n\r\n",
    "zz\r\n",
    "3;a=b\r\nabc\r\n0\r\nT: x\r\n\r\n",
    "\r\n\r\n",
    "a=b&c=%41",
];

/// Requests on one connection.
fn requests(dice: &mut Dice) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..=dice.roll(3) {
        let method = dice.one(&["GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "get", "TRACE"]);
        let version = dice.one(&[" HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.0", " HTTP/2.0", ""]);
        out.extend_from_slice(format!("{method} {}{version}\r\nHost: a\r\n", dice.one(TARGETS)).as_bytes());
        for _ in 0..dice.roll(4) {
            out.extend_from_slice(format!("{}\r\n", dice.one(LINES)).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(dice.one(BODIES).as_bytes());
    }
    if dice.roll(2) == 0 {
        dice.mutate(&mut out, SPECIAL);
    }
    out
}

/// However a head comes in pieces: what is accepted as a whole is not refused when half of it is there.
#[test]
fn made_up_heads_are_judged_alike_in_pieces() {
    in_time(rounds(4000), |number| {
        let text = requests(&mut Dice(number));
        let text = &text[head::leading_blank(&text)..];
        let limits = Limits::default();
        let Some(end) = head::end(text, 0) else { return };
        let whole = head::parse(Bytes::copy_from_slice(&text[..end]), &limits);
        for cut in 0..end {
            let refused = head::unfinished(&text[..cut], 0, &limits);
            if let (Ok(_), Some(bad)) = (&whole, refused) {
                panic!("number {number} is accepted, but not its first {cut} bytes: {}", bad.reason);
            }
        }
    });
}

const HTTP: &str = r#"client_max_body_size 20k; gzip on; gzip_min_length 1; charset utf-8;
    server { listen 127.0.0.1:PORT; server_name a ~^b(?<rest>.*)$;
        location / { return 200 "$uri $args $host $http_x $rest"; }
        location /read { content_by_lua_block {
            ngx.req.read_body() local args = ngx.req.get_post_args() ngx.say(#(ngx.req.get_body_data() or "")) } }
        location /lua { rewrite_by_lua_block { ngx.req.set_header("X", "y") } content_by_lua_block {
            ngx.say(ngx.var.args) for k, v in pairs(ngx.req.get_headers()) do ngx.say(k, v) end } }
        location /args { content_by_lua_block { for k, v in pairs(ngx.req.get_uri_args()) do ngx.say(k, tostring(v)) end } }
        location /file { root html; autoindex on; }
        location /try { root html; try_files $uri /file/x =404; }
        location /rw { rewrite ^/rw/(.*)/(.*)$ /$2?$1 last; }
        location /sub { root html; sub_filter a bb; sub_filter_once off; }
        location /gz { root html; rewrite ^ /file/x break; add_header A $sent_http_content_type always; }
        location /echo { echo_read_request_body; echo_request_body; echo $request_method; }
        location /sleep { echo_sleep 0.001; echo done; }
    }"#;

/// Every connection comes to its end once the client has said all it has to say, and the server is the same afterwards.
#[test]
fn made_up_requests_are_answered_or_refused() {
    let server = Server::start(HTTP, &[("html/file/x", "abcabcabc"), ("html/sub/x", "banana")]);
    let process = || server.raw(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 200 ");
    assert!(process());
    let (next, answers, count) = (AtomicU64::new(0), AtomicU64::new(0), rounds(2000));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= count {
                        return;
                    }
                    let mut dice = Dice(number);
                    let text = requests(&mut dice);
                    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let (first, second) = text.split_at(dice.roll(text.len() + 1));
                    let _ = stream.write_all(first).and_then(|()| stream.write_all(second));
                    let _ = stream.shutdown(Shutdown::Write);
                    let mut answer = Vec::new();
                    if let Err(error) = stream.read_to_end(&mut answer) {
                        let late =
                            matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                        assert!(!late, "number {number} hangs: {}", text.escape_ascii());
                    }
                    answers.fetch_add(u64::from(answer.starts_with(b"HTTP/1.1 2")), Ordering::SeqCst);
                }
            });
        }
    });
    assert!(answers.load(Ordering::SeqCst) > count / 10, "{answers:?} of {count}");
    let log = server.log();
    assert!(!log.contains("panic") && !log.contains("[alert]"), "{log}");
    assert!(process());
}
