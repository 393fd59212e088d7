//! What becomes of a request's Lua: over internal redirects, without the code cache, after failures; and what the log says of it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::load::Client;
use crate::support::status::Status;
use crate::support::{PATIENCE, Prefix, Server, until};

fn start(http: &str) -> Server {
    let http = format!("access_log off; {http}");
    Server::with_main("error_log logs/error.log debug;", &http, &[])
}

fn check(server: &Server, cases: &[(&str, &str)]) {
    for (path, expected) in cases {
        assert_eq!(server.body(path), *expected, "{path}\n{}", server.log());
    }
}

/// Waits until the log has all of these, in this order.
fn expect_log(server: &Server, words: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = server.log();
        let mut rest = log.as_str();
        let missing = words.iter().find(|word| match rest.split_once(**word) {
            Some((_, after)) => {
                rest = after;
                false
            }
            None => true,
        });
        let Some(missing) = missing else { return };
        assert!(Instant::now() < deadline, "{missing} is not in the log:\n{log}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn internal_redirects_begin_anew() {
    let server = start(
        "server { listen 127.0.0.1:PORT;
        server_rewrite_by_lua_block { ngx.req.set_header('seen', (ngx.var.http_seen or '') .. ngx.var.uri) }
        rewrite ^/old$ /ctx;
        location = /exec { content_by_lua_block { ngx.ctx.a = 1 ngx.exec('/ctx') } }
        location = /named { content_by_lua_block { ngx.ctx.a = 1 ngx.exec('@ctx?a=1', 'b=2') } }
        location @ctx { content_by_lua_block { ngx.say('named ', ngx.ctx.a, ngx.var.args) } }
        location = /jump { rewrite_by_lua_block { ngx.ctx.a = 1 ngx.req.set_uri('/ctx', true) } }
        location = /rewrite { set_by_lua_block $x { ngx.ctx.a = 'kept' return '' } rewrite ^ /ctx last; }
        location = /page { error_page 404 = /ctx; content_by_lua_block { ngx.ctx.a = 1 ngx.exit(404) } }
        location = /ctx { content_by_lua_block {
            ngx.say(ngx.status, ' ', ngx.ctx.a, ' ', ngx.req.is_internal(), ' ', ngx.var.http_seen)
        } }
        location = /up { access_by_lua_block { ngx.exec('/ctx/../') } }
        location = /declined { content_by_lua_block { ngx.exit(ngx.DECLINED) } }
        location = /sub { content_by_lua_block { ngx.exit(ngx.ERROR) } }
        location = /capture { content_by_lua_block { local r = ngx.location.capture('/sub') ngx.say(r.status, r.body) } }
        location = /vars { content_by_lua_block {
            ngx.say(pcall(ngx.location.capture, '/sub', { vars = { none = 1 } }))
            ngx.say(pcall(ngx.location.capture, '/sub', { vars = { query_string = 1 } }))
        } } }",
    );
    check(
        &server,
        &[
            ("/exec", "0 nil true /exec/ctx\n"),
            ("/named", "named nilnil\n"),
            ("/jump", "0 nil true /jump\n"),
            ("/rewrite", "0 kept true /rewrite\n"),
            ("/old", "0 nil true /old\n"),
            ("/page", "404 nil true /page/ctx\n"),
            ("/declined", ""),
            ("/capture", "500\n"),
            ("/vars", "falsefailed to adjust the subrequest: 500\nfalsefailed to adjust the subrequest: 500\n"),
        ],
    );
    assert!(server.get("/up").starts_with("HTTP/1.1 500 "));
    expect_log(
        &server,
        &[
            "lua release ngx.ctx at ref ",
            "[error]",
            "variable \"none\" cannot be assigned a value (maybe you forgot to define it first?) ,",
            "variable \"query_string\" not changeable,",
            "unsafe URI \"/ctx/../\" was detected,",
            "access_by_lua(nginx.conf:",
            "):1: unsafe uri: /ctx/../\n",
        ],
    );
}

#[test]
fn send_headers_runs_the_filters_before_it_returns() {
    let server = start(
        "rewrite_by_lua_no_postpone on;
        server { listen 127.0.0.1:PORT; set $n ''; set $foo '';
        location = /filter {
            content_by_lua_block { ngx.send_headers() ngx.say('n = ', ngx.var.n, ' ', ngx.var.sent_http_x) }
            header_filter_by_lua_block { ngx.var.n = 'filtered' } add_header X y;
        }
        location = /early { rewrite_by_lua_block { ngx.var.foo = 1 } if ($foo = 1) { return 200 early; } return 200 late; }
        location = /length { content_by_lua_block { ngx.header.content_length = 'many' } }
        location = /no-type {
            default_type text/html;
            content_by_lua_block { ngx.header['Content-Type'] = nil ngx.say(ngx.header.content_type) }
        }
        location = /late { content_by_lua_block { ngx.say('x') ngx.exit(201) } }
        location = /later { content_by_lua_block { ngx.say('x') ngx.flush(true) ngx.exit(501) } }
        location = /head { content_by_lua_block { ngx.say('x') ngx.log(ngx.WARN, ngx.flush()) } } }",
    );
    check(&server, &[("/early", "early"), ("/late", "x\n")]);
    let get = |method: &str, path: &str| server.raw(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    assert!(get("GET", "/filter").contains("n = filtered y\n"), "{}", server.log());
    let answer = get("GET", "/no-type");
    assert!(!answer.contains("Content-Type") && answer.contains("\nnil\n"), "{answer}");
    assert!(get("GET", "/length").starts_with("HTTP/1.1 500 "));
    assert!(get("GET", "/late").starts_with("HTTP/1.1 200 "));
    assert!(!server.log().contains("attempt to set status"), "{}", server.log());
    assert!(get("GET", "/later").starts_with("HTTP/1.1 200 "));
    assert!(get("HEAD", "/head").starts_with("HTTP/1.1 200 "));
    expect_log(
        &server,
        &[
            "lua buffering output bufs for the HTTP 1.0 request",
            "failed to set header content_length (error: -1)",
            "attempt to set status 501 via ngx.exit after sending out the response status 200",
            "nilheader only",
        ],
    );
}

#[test]
fn without_the_code_cache_every_request_has_a_machine() {
    let server = start(
        "lua_package_path '${prefix}?.lua;;'; lua_max_running_timers 1;
        server { listen 127.0.0.1:PORT;
        location = /cached { content_by_lua_block { n = (n or 0) + 1 ngx.say(n) } }
        location = /fresh { lua_code_cache off; content_by_lua_block {
            n = (n or 0) + 1
            ngx.say(n, require 'm')
            local f = assert(io.open(ngx.config.prefix() .. 'm.lua', 'w'))
            f:write('return \"changed\"') f:close()
        } }
        location = /timers { lua_code_cache off; content_by_lua_block {
            n = 'upvalue'
            ngx.timer.at(0, function() ngx.sleep(0.01) ngx.log(ngx.WARN, 'first ', n) end)
            ngx.timer.at(0, function() end)
            ngx.say('ok')
        } } }",
    );
    server.prefix.write("m.lua", "return 'read'");
    check(
        &server,
        &[("/cached", "1\n"), ("/cached", "2\n"), ("/fresh", "1read\n"), ("/fresh", "1changed\n"), ("/cached", "3\n")],
    );
    expect_log(&server, &["[alert]", "lua_code_cache is off; this will hurt performance"]);
    assert_eq!(server.log().matches("lua close the global Lua VM").count(), 2, "{}", server.log());
    check(&server, &[("/timers", "ok\n")]);
    expect_log(
        &server,
        &[
            "decrementing the reference count for Lua VM: 3",
            "lua failed to run timer with function defined at =content_by_lua(nginx.conf:",
            "):4: 1 lua_max_running_timers are not enough",
            "decrementing the reference count for Lua VM: 2",
            "first upvalue",
            "http lua close fake http connection",
            "decrementing the reference count for Lua VM: 1",
            "lua close the global Lua VM",
        ],
    );
}

#[test]
fn failures_say_where() {
    let server = start(
        "init_worker_by_lua_block { error('at the start') } exit_worker_by_lua_file none.lua;
        server { listen 127.0.0.1:PORT;
        location = /nested { content_by_lua_block {
            local inner = coroutine.wrap(function() error('inside') end)
            local outer = coroutine.wrap(function() inner() end)
            outer()
        } }
        location = /caught { content_by_lua_block {
            pcall(coroutine.wrap(function() error('caught') end))
            error('mine')
        } }
        location = /set { set_by_lua_block $x { error('in set') } return 200 no; }
        location = /missing { rewrite_by_lua_file none.lua; }
        location = /stderr { content_by_lua_block { ngx.log(ngx.STDERR, 'to stderr') } }
        location = /pids { content_by_lua_block {
            local pids = ngx.worker.pids()
            ngx.say(#pids == ngx.worker.count(), pids[1] == ngx.worker.pid())
        } }
        location = /self { content_by_lua_block {
            ngx.say(ngx.thread.kill(coroutine.running()))
            local t = ngx.thread.spawn(function() ngx.sleep(10) end)
            ngx.say(ngx.thread.kill(t))
        } }
        location = /jit { content_by_lua_block { ngx.re.match('a', 'a', 'jo') ngx.say(ngx.re.match('a', 'a', 'jo')[0]) } } }",
    );
    check(&server, &[("/pids", "truetrue\n"), ("/self", "nilnot user thread\n1\n"), ("/jit", "a\n")]);
    for (path, status) in
        [("/nested", "500"), ("/caught", "500"), ("/set", "500"), ("/missing", "404"), ("/stderr", "200")]
    {
        let answer = server.get(path);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    server.signal("QUIT");
    expect_log(
        &server,
        &[
            "init_worker_by_lua error: init_worker_by_lua(nginx.conf:",
            "):1: at the start\nstack traceback:\n\t[C]: in function 'error'\n",
            "lua clean up the timer for pending ngx.sleep",
            "pcre JIT compiling result: 1",
            "):2: inside\nstack traceback:\ncoroutine 0:\n\t[C]: in function 'error'\n",
            "\ncoroutine 1:\n\t[C]: in function 'inner'\n",
            "\ncoroutine 2:\n\t[C]: in function 'outer'\n",
            "):3: mine\nstack traceback:\ncoroutine 0:\n\t[C]: in function 'error'\n\tcontent_by_lua(nginx.conf:",
            ":3: in main chunk, client",
            "failed to run set_by_lua*: set_by_lua(nginx.conf:",
            "):1: in set\nstack traceback:\n\t[C]: in function 'error'\n",
            " [] ",
            ": to stderr",
            "exit_worker_by_lua_file error: cannot open ",
        ],
    );
    let log = server.log();
    assert_eq!(log.matches("pcre JIT compiling result: 1").count(), 1, "{log}");
    assert!(!log.contains("caught\nstack"), "{log}");
}

/// `(http block, what the refusal says)`
#[test]
fn a_failing_start_names_directive_and_place() {
    for (http, expected) in [
        (
            "init_by_lua_block { error('no') }",
            "[error] init_by_lua error: init_by_lua(nginx.conf:1):1: no\nstack traceback:",
        ),
        (
            "init_by_lua_block { x = = }",
            "[error] init_by_lua error: init_by_lua(nginx.conf:1):1: unexpected symbol near '='\n",
        ),
        ("init_by_lua_file gone.lua;", "[error] init_by_lua_file error: cannot open PREFIX/gone.lua: No such file"),
        (
            "include ../sub/a_rather_long_name_for_a_file_of_directives.conf;",
            "[error] init_by_lua error: init_by_lua(...r_long_name_for_a_file_of_directives.conf:2):1: far\n",
        ),
    ] {
        let prefix = Prefix::new();
        let conf = format!("daemon off; error_log logs/error.log; pid logs/p; events {{}} http {{ {http} }}");
        prefix.write("conf/nginx.conf", &conf);
        prefix.write("sub/a_rather_long_name_for_a_file_of_directives.conf", "\ninit_by_lua_block { error('far') }");
        let output = prefix.run(&[]);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).replace(&prefix.0.display().to_string(), "PREFIX");
        assert!(said.contains(expected), "{http}: {said}");
    }
}

#[test]
fn graceful_exit_replaces_the_workers() {
    let server = start(
        "init_by_lua_block { log_phase = require 'ngx.process'.type() }
        server { listen 127.0.0.1:PORT;
        location = /count { content_by_lua_block { n = (n or 0) + 1 ngx.say(log_phase, n) } }
        location = /exit { content_by_lua_block { require 'ngx.process'.signal_graceful_exit() ngx.say('bye') } } }",
    );
    check(&server, &[("/count", "master1\n"), ("/count", "master2\n"), ("/exit", "bye\n")]);
    expect_log(&server, &["signal 1 (SIGHUP) received", "gracefully shutting down"]);
    check(&server, &[("/count", "master1\n")]);
}

/// Lua in the configuration shows in the filters of every response, and only where it is needed.
#[test]
fn filters_say_what_they_are_there_for() {
    for (http, has, has_not) in [
        (
            "location = /t { rewrite_by_lua return; return 200 x; }",
            "lua capture header filter, uri \"/t\"",
            "for user lua code",
        ),
        (
            "location = /t { return 200 x; } location /u { body_filter_by_lua return; return 200 x; }",
            "lua header filter for user lua code, uri \"/t\"",
            "lua capture",
        ),
    ] {
        let server = start(&format!("server {{ listen 127.0.0.1:PORT; {http} }}"));
        assert_eq!(server.body("/t"), "x");
        assert!(server.log().contains(has) && !server.log().contains(has_not), "{}", server.log());
    }
}

/// What the kernel has not taken of a small response goes to a client that reads late, even when the worker quits meanwhile.
#[test]
fn a_worker_that_quits_sends_what_is_left_of_a_small_response() {
    const SIZE: usize = 7000;
    let start = |scratch: &Prefix| {
        let http = format!(
            "server {{ listen 127.0.0.1:PORT; location = /status {{ perilune_status; }} }}
             server {{ listen unix:{}/socket; location / {{ content_by_lua_block {{
                ngx.header.content_length = {SIZE} ngx.print(('~'):rep({SIZE})) }} }} }}",
            scratch.0.display()
        );
        let server = Server::with_main("worker_processes 1;", &http, &[]);
        // (what is known so far is that the server listens at its port)
        let (socket, mut stream) = (scratch.0.join("socket"), None);
        until("the socket is there", || {
            stream = UnixStream::connect(&socket).ok();
            stream.is_some()
        });
        (server, stream.unwrap())
    };
    // Asks for the nth time, and does not read.
    let ask = |server: &Server, mut stream: &UnixStream, nth: usize| {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        Status::until(server, |status| status.worker("scripts_run") == nth as u64);
    };
    let scratch = Prefix::new();
    let (server, stream) = start(&scratch);
    let waits = |nth: &usize| {
        ask(&server, &stream, *nth);
        // (the one that asks for the page is another)
        Status::of(&server).server("connections_writing") > 1
    };
    let full = (1..1000).find(waits).expect("a socket takes only so much");
    for count in [full - 1, full] {
        let scratch = Prefix::new();
        let (server, mut stream) = start(&scratch);
        (1..=count).for_each(|nth| ask(&server, &stream, nth));
        let mut idle = Client::new(server.port);
        idle.send("/status");
        idle.answer();
        server.signal("HUP");
        assert!(idle.ends());
        // (the old worker would end now)
        (0..20).for_each(|_| drop(Status::of(&server)));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert_eq!(all.iter().filter(|byte| **byte == b'~').count(), count * SIZE, "{count} of {full}");
    }
}

#[test]
fn what_came_behind_another_request_is_pipelined() {
    let server = Server::start("server { listen 127.0.0.1:PORT; location / { return 200 \"pipe $pipe;\"; } }", &[]);
    let (one, last) = ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answers = server.raw(format!("{one}{one}{last}").as_bytes());
    let said: Vec<&str> = answers.split("pipe ").skip(1).filter_map(|rest| rest.split(';').next()).collect();
    assert_eq!(said, [".", "p", "p"], "{answers}");
}
