//! What goes wrong, and how it is answered: the client's answer, one line in the log, and a worker that goes on.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::support::Server;

fn server(location: &str, files: &[(&str, &str)]) -> Server {
    Server::start(
        &format!("server {{ listen 127.0.0.1:PORT;\n{location}\nlocation = /ok {{ return 200 ok; }} }}"),
        files,
    )
}

/// GET /t: the status line, and how often each text is in the log.
fn check(location: &str, files: &[(&str, &str)], status: &str, logged: &[&str]) {
    let server = server(location, files);
    let answer = server.get("/t");
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}\n{}", server.log());
    for text in logged {
        let log = server.log();
        assert_eq!(log.matches(text).count(), 1, "{text:?} in\n{log}");
    }
    assert_eq!(server.body("/ok"), "ok", "the worker goes on");
}

#[test]
fn lua_errors() {
    let text = "location = /t { content_by_lua_block { local x = = 1 } }";
    check(
        text,
        &[],
        "500",
        &["failed to load inlined Lua code: content_by_lua(nginx.conf:5):1: unexpected symbol near '='"],
    );
    let text = "location = /t { content_by_lua_block {\nlocal x\nx.y = 1 } }";
    check(
        text,
        &[],
        "500",
        &[
            "lua entry thread aborted: runtime error: content_by_lua(nginx.conf:5):3: attempt to index local 'x' (a nil value)",
        ],
    );
    let text = "location = /t { content_by_lua_block { coroutine.wrap(function() error('in a coroutine') end)() } }";
    check(text, &[], "500", &["content_by_lua(nginx.conf:5):1: in a coroutine"]);
    let text = "location = /t { content_by_lua_block { error({ code = 7 }) } }";
    check(text, &[], "500", &["lua entry thread aborted: runtime error: unknown reason"]);
    let text = "location = /t { content_by_lua_block { local function f() return 1 + f() end f() } }";
    check(text, &[], "500", &["stack overflow"]);
}

#[test]
fn missing_files() {
    check("location = /t { content_by_lua_file none.lua; }", &[], "404", &["failed to load external Lua file"]);
    check("location = /t { root html; }", &[], "404", &["failed (2: No such file or directory)"]);
}

#[test]
fn large_strings() {
    let text = "location = /t { content_by_lua_block { ngx.say(#string.rep('x', 100 * 1024 * 1024)) } }";
    let server = server(text, &[]);
    assert_eq!(server.body("/t"), "104857600\n");
    let text =
        "location = /t { content_by_lua_block { local t = {} for i = 1, 100 do t[i] = ('x'):rep(1e8) .. i end } }";
    let server = self::server(text, &[]);
    let answer = server.get("/t");
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert_eq!(server.log().matches("not enough memory").count(), 1, "{}", server.log());
    assert_eq!(server.body("/ok"), "ok");
}

#[test]
fn bad_requests() {
    let server = server(
        "client_max_body_size 10; location = /t { content_by_lua_block { ngx.req.read_body() ngx.say('read') } }",
        &[],
    );
    let large = "POST /t HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nConnection: close\r\n\r\nhello world";
    assert!(server.raw(large.as_bytes()).starts_with("HTTP/1.1 413 "));
    let chunked = "POST /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nb\r\nhello world\r\n0\r\n\r\n";
    assert!(server.raw(chunked.as_bytes()).starts_with("HTTP/1.1 413 "));
    assert_eq!(server.log().matches("client intended to send too large").count(), 2, "{}", server.log());
    for bad in ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET\r\n\r\n", "\0\r\n\r\n"] {
        assert!(server.raw(bad.as_bytes()).starts_with("HTTP/1.1 400 "), "{bad:?}");
    }
    assert_eq!(server.body("/ok"), "ok");
}

#[test]
fn half_closed_clients_are_answered() {
    let server = server("location = /t { content_by_lua_block { ngx.sleep(0.05) ngx.say('still here') } }", &[]);
    let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    client.write_all(b"GET /t HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("still here"), "{answer}");
}
