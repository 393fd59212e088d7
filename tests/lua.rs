//! Lua in the phases of a request, through an nginx.conf.

use crate::support::{Server, until};

fn check(http: &str, cases: &[(&str, &str)]) -> Server {
    let server = Server::start(&format!("access_log off; server {{ listen 127.0.0.1:PORT;\n{http}\n}}"), &[]);
    for (path, expected) in cases {
        assert_eq!(server.body(path), *expected, "{path}\n{}", server.log());
    }
    server
}

#[test]
fn phases_share_a_request() {
    let server = check(
        r#"location /all {
            set_by_lua_block $from { return "set" }
            rewrite_by_lua_block { ngx.ctx.trail = ngx.var.from .. " rewrite" }
            access_by_lua_block { ngx.ctx.trail = ngx.ctx.trail .. " access" }
            content_by_lua_block { ngx.say(ngx.ctx.trail, " ", ngx.get_phase()) }
            header_filter_by_lua_block { ngx.header["X-Phase"] = ngx.get_phase() }
            body_filter_by_lua_block { ngx.arg[1] = "<" .. ngx.arg[1] .. ">" }
            log_by_lua_block { ngx.log(ngx.WARN, "status ", ngx.status) }
        }"#,
        &[],
    );
    let answer = server.get("/all");
    assert!(answer.contains("\nX-Phase: header_filter\n"), "{answer}");
    assert!(answer.contains("<set rewrite access content\n"), "{answer}");
    assert!(server.log().contains(": status 200 while logging request, client: 127.0.0.1, "), "{}", server.log());
}

#[test]
fn ends_and_redirects() {
    let server = check(
        r#"location /ok { access_by_lua_block { ngx.exit(ngx.OK) } return 200 after; }
        location /say { access_by_lua_block { ngx.say("from access") ngx.exit(200) } content_by_lua_block { ngx.say("no") } }
        location /exec { content_by_lua_block { ngx.exec("/target", "a=1") } }
        location /target { internal; return 200 "$uri $args"; }
        location /page { error_page 403 /custom; access_by_lua_block { ngx.exit(403) } }
        location /custom { content_by_lua_block { ngx.print("custom ", ngx.status) } }
        location /late { content_by_lua_block { ngx.say("abc") ngx.flush(true) error("late") } }
        location /wait { content_by_lua_block { ngx.say("a") ngx.flush(true) ngx.sleep(0.05) ngx.say("b") } }
        location /drop { content_by_lua_block { ngx.exit(444) } }"#,
        &[("/exec", "/target a=1"), ("/page", "custom 403"), ("/wait", "a\nb\n"), ("/drop", "")],
    );
    let said = server.raw(b"GET /say HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(said.ends_with("\nfrom access\n\n0\n\n"), "{said}");
    let late = server.raw(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(late.ends_with("\n\n4\nabc\n\n<closed>"), "{late}");
}

#[test]
fn errors_are_answered_and_logged_once() {
    let server = check(
        "location /run { content_by_lua_block {\n\n error('boom') } }\n\
         location /syntax { content_by_lua_block { x = = 1 } }\n\
         location /file { content_by_lua_file none.lua; }",
        &[],
    );
    assert!(server.get("/run").starts_with("HTTP/1.1 500 Internal Server Error\n"));
    assert!(server.get("/syntax").starts_with("HTTP/1.1 500 Internal Server Error\n"));
    assert!(server.get("/file").starts_with("HTTP/1.1 404 Not Found\n"));
    let log = server.log();
    let words = "lua entry thread aborted: runtime error: content_by_lua(nginx.conf:5):3: boom\nstack traceback:\n";
    assert_eq!(log.matches(words).count(), 1, "{log}");
    let words = "failed to load inlined Lua code: content_by_lua(nginx.conf:8):1: unexpected symbol near '='";
    assert_eq!(log.matches(words).count(), 1, "{log}");
}

#[test]
fn a_loop_does_not_stop_other_requests() {
    let server = check(
        r#"location /loop { content_by_lua_block { while true do end } }
        location /quick { content_by_lua_block { ngx.print("quick") } }"#,
        &[],
    );
    let mut busy = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    std::io::Write::write_all(&mut busy, b"GET /loop HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(server.body("/quick"), "quick");
}

/// A bug of ours costs one request outside the VM, and the VM's requests inside; the worker goes on either way.
#[test]
fn panics() {
    let server = Server::start(
        "server { listen PORT; \
         location = /outside { echo_panic; } \
         location = /inside { content_by_lua_block { ngx._panic() } } \
         location = /waits { content_by_lua_block { waiting = true repeat ngx.sleep(0.01) until gone ngx.say('woken') } } \
         location = /waiting { content_by_lua_block { ngx.say(waiting) } } \
         location = /fine { content_by_lua_block { count = (count or 0) + 1 ngx.say(count) } } }",
        &[],
    );
    assert_eq!(server.body("/fine"), "1\n");
    assert!(server.get("/outside").starts_with("HTTP/1.1 500 "), "{}", server.get("/outside"));
    assert_eq!(server.body("/fine"), "2\n");
    assert!(server.log().contains("[alert]"), "{}", server.log());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.get("/waits"));
        until("it waits", || server.body("/waiting") == "true\n");
        assert!(server.get("/inside").starts_with("HTTP/1.1 500 "));
        // A fresh VM: its globals are its own.
        assert_eq!(server.body("/fine"), "1\n");
        assert!(waiting.join().unwrap().starts_with("HTTP/1.1 500 "));
    });
    assert!(server.log().contains("panic inside the Lua VM"), "{}", server.log());
}
