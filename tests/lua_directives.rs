//! The directives of lua-nginx-module, each with what it does: in its string, file and block form, and what each setting changes.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::peer::Peer;
use crate::support::{Prefix, Server, until};

fn start(http: &str, locations: &str, files: &[(&str, &str)]) -> Server {
    Server::start(&format!("{http} server {{ listen 127.0.0.1:PORT; {locations} }}"), files)
}

/// The body of `GET /t`.
fn check(http: &str, locations: &str, expected: &str) {
    let server = start(http, locations, &[]);
    assert_eq!(server.body("/t"), expected, "{http} {locations}\n{}", server.log());
}

#[test]
fn code_as_a_string() {
    let server = start(
        "init_by_lua 'started = \"init\"'; init_worker_by_lua 'started = started .. \" worker\"';",
        "set $a ''; set $b '';
        location = /t {
            set_by_lua $a 'return ngx.arg[1] .. ngx.arg[2]' one two;
            rewrite_by_lua 'ngx.ctx.rewritten = ngx.get_phase()';
            access_by_lua 'ngx.ctx.accessed = ngx.get_phase()';
            content_by_lua 'ngx.say(started, \" \", ngx.var.a, \" \", ngx.ctx.rewritten, \" \", ngx.ctx.accessed)';
            header_filter_by_lua 'ngx.header.x = ngx.get_phase()';
            body_filter_by_lua 'ngx.arg[1] = ngx.arg[1]:upper()';
            log_by_lua 'ngx.log(ngx.WARN, \"logged in \", ngx.get_phase())';
        }",
        &[],
    );
    let answer = server.get("/t");
    assert!(answer.contains("\nx: header_filter\n"), "{answer}");
    assert!(answer.contains("INIT WORKER ONETWO REWRITE ACCESS\n"), "{answer}");
    until("it is logged", || server.log().contains("logged in log"));
}

#[test]
fn code_in_a_file() {
    let mut server = start(
        "init_by_lua_file lua/init.lua; init_worker_by_lua_file lua/worker.lua; exit_worker_by_lua_file lua/exit.lua;",
        "set $a ''; server_rewrite_by_lua_file lua/server.lua;
        location = /t {
            set_by_lua_file $a lua/set.lua one two;
            rewrite_by_lua_file lua/phase.lua;
            access_by_lua_file lua/phase.lua;
            precontent_by_lua_file lua/phase.lua;
            content_by_lua_file lua/content.lua;
            header_filter_by_lua_file lua/header.lua;
            body_filter_by_lua_file lua/body.lua;
            log_by_lua_file lua/log.lua;
        }",
        &[
            ("lua/init.lua", "started = 'init'"),
            ("lua/worker.lua", "started = started .. ' worker'"),
            ("lua/exit.lua", "ngx.log(ngx.WARN, 'left in ', ngx.get_phase())"),
            ("lua/server.lua", "ngx.ctx.all = ngx.get_phase()"),
            ("lua/set.lua", "return ngx.arg[1] .. ngx.arg[2]"),
            ("lua/phase.lua", "ngx.ctx.all = ngx.ctx.all .. ' ' .. ngx.get_phase()"),
            ("lua/content.lua", "ngx.say(started, ' ', ngx.var.a, ' ', ngx.ctx.all)"),
            ("lua/header.lua", "ngx.header.x = ngx.get_phase()"),
            ("lua/body.lua", "ngx.arg[1] = ngx.arg[1]:upper()"),
            ("lua/log.lua", "ngx.log(ngx.WARN, 'logged in ', ngx.get_phase())"),
        ],
    );
    let answer = server.get("/t");
    assert!(answer.contains("\nx: header_filter\n"), "{answer}");
    assert!(answer.contains("INIT WORKER ONETWO SERVER_REWRITE REWRITE ACCESS PRECONTENT\n"), "{answer}");
    until("it is logged", || server.log().contains("logged in log"));
    server.signal("QUIT");
    assert!(server.ended());
    assert!(server.log().contains("left in exit_worker"), "{}", server.log());
}

#[test]
fn a_worker_that_leaves_runs_its_block() {
    let mut server = start("exit_worker_by_lua_block { ngx.log(ngx.WARN, 'bye') }", "", &[]);
    server.signal("QUIT");
    assert!(server.ended());
    assert_eq!(server.log().matches("bye").count(), 1, "{}", server.log());
}

#[test]
fn what_is_accepted_and_changes_nothing() {
    let server = start(
        "lua_load_resty_core off; lua_malloc_trim 10; lua_sa_restart off; lua_thread_cache_max_entries 10;
        lua_package_cpath '/x/?.so;;';",
        "location = /t { lua_socket_send_lowat 1k;
            content_by_lua_block { ngx.say(package.cpath:match('^[^;]*'), ' ', type(require 'resty.core')) } }",
        &[],
    );
    assert_eq!(server.body("/t"), "/x/?.so table\n", "{}", server.log());
    assert!(server.log().is_empty() || !server.log().contains("[error]"));
    let prefix = Prefix::new();
    prefix.write("conf/nginx.conf", "events {} http { lua_load_resty_core off; }");
    let said = String::from_utf8_lossy(&prefix.run(&["-t"]).stderr).into_owned();
    assert!(said.contains("[warn] lua_load_resty_core is deprecated"), "{said}");
}

#[test]
fn default_types_and_spelling_of_headers() {
    let lua = "content_by_lua_block { ngx.header.foo_bar = 'x' ngx.say('y') }";
    for (setting, has, has_not) in [
        ("", "Content-Type: text/plain\n", "foo_bar: x\n"),
        ("", "foo-bar: x\n", "foo_bar"),
        ("lua_use_default_type off;", "foo-bar: x\n", "Content-Type"),
        ("lua_transform_underscores_in_response_headers off;", "foo_bar: x\n", "foo-bar"),
    ] {
        let server = start(setting, &format!("location = /t {{ {lua} }}"), &[]);
        let answer = server.get("/t");
        assert!(answer.contains(has) && !answer.contains(has_not), "{setting}: {answer}");
    }
}

#[test]
fn bodies_are_read_beforehand_where_lua_needs_them() {
    for (setting, expected) in [("", "nil"), ("lua_need_request_body on;", "hello")] {
        let server = start(
            setting,
            "location = /t { content_by_lua_block { ngx.print(tostring(ngx.req.get_body_data())) } }",
            &[],
        );
        let answer = server.raw(b"POST /t HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello");
        assert!(answer.ends_with(&format!("\n\n{expected}<closed>")), "{answer}");
    }
}

#[test]
fn answers_to_http_1_0_have_a_length_when_they_are_held_back() {
    for (setting, has) in [("on", true), ("off", false)] {
        let server = start(
            &format!("lua_http10_buffering {setting};"),
            "location = /t { content_by_lua_block { ngx.say('a') ngx.flush(true) ngx.say('b') } }",
            &[],
        );
        let answer = server.raw(b"GET /t HTTP/1.0\r\n\r\n");
        assert_eq!(answer.contains("Content-Length: 4\n"), has, "{setting}: {answer}");
        assert!(answer.ends_with("\n\na\nb\n<closed>"), "{answer}");
    }
}

#[test]
fn access_code_runs_after_the_other_checks_unless_told_otherwise() {
    for (setting, expected) in [("off", 0), ("on", 1)] {
        let server = start(
            &format!("access_by_lua_no_postpone {setting};"),
            "location = /t { deny all; access_by_lua_block { ngx.log(ngx.WARN, 'it runs') } return 200; echo x; }
             location = /u { deny all; access_by_lua_block { ngx.log(ngx.WARN, 'it runs') } echo x; }",
            &[],
        );
        assert!(server.get("/u").starts_with("HTTP/1.1 403 "));
        assert_eq!(server.log().matches("it runs").count(), expected, "{setting}: {}", server.log());
    }
}

#[test]
fn a_hard_search_is_given_up_and_few_patterns_are_remembered() {
    let search = "location = /t { content_by_lua_block {
        for _ = 1, 2 do ngx.say(ngx.re.match('aab', '(a+)+b', 'o')[0]) ngx.say(ngx.re.match('x', 'x', 'o')[0]) end
        local m, err = ngx.re.match(('a'):rep(40) .. 'bc', [[(a+)+\\1c]])
        ngx.say(m, ' ', err)
    } }";
    check(
        "lua_regex_cache_max_entries 1; lua_regex_match_limit 500;",
        search,
        "aab\nx\naab\nx\nnil pcre_exec() failed: -8\n",
    );
}

#[test]
fn too_many_pending_timers_are_refused() {
    check(
        "lua_max_pending_timers 2;",
        "location = /t { content_by_lua_block {
            for _ = 1, 3 do ngx.say(ngx.timer.at(600, function() end)) end
            ngx.say(ngx.timer.pending_count())
        } }",
        "1\n1\nniltoo many pending timers\n2\n",
    );
}

#[test]
fn sockets_have_the_directives_timeouts() {
    let peer = Peer::start();
    let server = start(
        "lua_socket_log_errors off; lua_socket_connect_timeout 20ms; lua_socket_read_timeout 20ms;
        lua_socket_send_timeout 20ms;",
        &format!(
            "location = /connect {{ content_by_lua_block {{ ngx.say(ngx.socket.connect('127.0.0.1', {})) }} }}
            location = /slow {{ lua_socket_connect_timeout 60s; content_by_lua_block {{
                local sock = assert(ngx.socket.connect('127.0.0.1', {tcp})) sock:send('timeout\\n')
                local data, err repeat data, err = sock:receive(1) until err
                ngx.say(data, ' ', err)
            }} }}
            location = /send {{ lua_socket_connect_timeout 60s; content_by_lua_block {{
                local sock = assert(ngx.socket.connect('127.0.0.1', {tcp})) sock:send('unread\\n')
                local n, err repeat n, err = sock:send(('x'):rep(1000000)) until err
                ngx.say(n, ' ', err)
            }} }}",
            peer.full,
            tcp = peer.tcp
        ),
        &[],
    );
    for (path, expected) in [("/connect", "niltimeout\n"), ("/slow", "nil timeout\n"), ("/send", "nil timeout\n")] {
        assert_eq!(server.body(path), expected, "{path}\n{}", server.log());
    }
}

#[test]
fn pools_have_the_directives_size_and_time() {
    let peer = Peer::start();
    let lua = format!(
        "location = /t {{ content_by_lua_block {{
            local a, b = ngx.socket.tcp(), ngx.socket.tcp()
            assert(a:connect('127.0.0.1', {tcp})) assert(b:connect('127.0.0.1', {tcp}))
            assert(a:setkeepalive()) assert(b:setkeepalive())
            ngx.sleep(0.001)
            if ngx.var.arg_wait then ngx.sleep(0.2) end
            assert(a:connect('127.0.0.1', {tcp})) assert(b:connect('127.0.0.1', {tcp}))
            ngx.say(a:getreusedtimes(), ' ', b:getreusedtimes())
        }} }}",
        tcp = peer.tcp
    );
    check("", &lua, "1 1\n");
    check("lua_socket_pool_size 1;", &lua, "1 0\n");
    let server = start("lua_socket_keepalive_timeout 10ms;", &lua, &[]);
    assert_eq!(server.body("/t?wait=1"), "0 0\n");
}

/// Lines longer than the buffer are read as well.
#[test]
fn small_buffers_change_no_result() {
    let server = start(
        "lua_socket_buffer_size 1;",
        "location = /t { content_by_lua_block {
            local sock = assert(ngx.socket.connect('127.0.0.1', ngx.var.server_port))
            assert(sock:send('GET /long HTTP/1.0\\r\\n\\r\\n'))
            for line in function() return sock:receive() end do if line == '' then break end end
            ngx.say(sock:receive() == ('x'):rep(10000), ' ', sock:receive('*a'))
        } }
        location = /long { content_by_lua_block { ngx.say(('x'):rep(10000)) ngx.print('end') } }",
        &[],
    );
    assert_eq!(server.body("/t"), "true end\n", "{}", server.log());
}

#[test]
fn a_timer_too_many_does_not_run() {
    let server = start(
        "lua_max_running_timers 1;",
        "location = /t { content_by_lua_block {
            ngx.timer.at(0, function() while not go do ngx.sleep(0.001) end end)
            ngx.timer.at(0, function() ngx.log(ngx.WARN, 'the second runs') end)
            ngx.say(ngx.timer.pending_count())
        } }
        location = /running { content_by_lua_block { ngx.say(ngx.timer.running_count(), ' ', ngx.timer.pending_count()) } }
        location = /go { content_by_lua_block { go = true } }",
        &[],
    );
    assert_eq!(server.body("/t"), "2\n");
    until("both are due", || server.body("/running") == "1 0\n");
    assert!(server.log().contains("1 lua_max_running_timers are not enough"), "{}", server.log());
    server.body("/go");
    until("it ends", || server.body("/running") == "0 0\n");
    assert!(!server.log().contains("the second runs"));
}

/// A client that goes away is noticed where it is looked for.
#[test]
fn abandoned_requests_are_looked_for_where_it_is_asked() {
    let server = start(
        "",
        "location = /t { lua_check_client_abort on; content_by_lua_block {
            ngx.on_abort(function() told = true ngx.exit(499) end) ngx.log(ngx.WARN, 'begun') ngx.sleep(600)
        } }
        location = /told { content_by_lua_block { ngx.say(told) } }",
        &[],
    );
    let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    client.write_all(b"GET /t HTTP/1.0\r\n\r\n").unwrap();
    until("it begins", || server.log().contains("begun"));
    client.set_nonblocking(true).unwrap();
    assert!(client.read(&mut [0]).is_err(), "nothing is answered");
    drop(client);
    until("Lua is told", || server.body("/told") == "true\n");
}

const ERRLOG: &str = "
    location = /log { content_by_lua_block {
        local level = tonumber(ngx.var.arg_level)
        for i = 1, tonumber(ngx.var.arg_n) do ngx.log(level, 'line ', i) end
    } }
    location = /get { content_by_lua_block {
        local list = assert(require 'ngx.errlog'.get_logs(tonumber(ngx.var.arg_max)))
        for i = 1, #list, 3 do
            ngx.say(list[i], ' ', math.abs(ngx.now() - list[i + 1]) < 60, ' ', list[i + 2]:match('%[.*%] .*#.*%*.*: (.*), client: 127'))
        end
    } }
    location = /filter { content_by_lua_block { ngx.say(require 'ngx.errlog'.set_filter_level(tonumber(ngx.var.arg_level))) } }
    location = /system { content_by_lua_block { ngx.say(require 'ngx.errlog'.get_sys_filter_level()) } }
    location = /list { content_by_lua_block {
        local list = { 'a', 'b', 'c', 'd', 'e' }
        ngx.say(require 'ngx.errlog'.get_logs(1, list) == list, ' ', list[1], ' ', list[4], ' ', list[5])
    } }
    location = /none { return 404; log_not_found off; }";

/// What is logged is kept for Lua, the latest lines of any worker, in the log's own words.
#[test]
fn the_error_log_is_captured() {
    let server = Server::with_main(
        "error_log logs/error.log warn;",
        &format!("lua_capture_error_log 4k; server {{ listen 127.0.0.1:PORT; {ERRLOG} location / {{ root html; }} }}"),
        &[],
    );
    let line = |n: usize| format!("4 true line {n}\n");
    server.body("/log?level=4&n=2");
    assert_eq!(server.body("/get"), line(1) + &line(2));
    assert_eq!(server.body("/get"), "", "what was read is gone");
    // Below the error_log's own level nothing is captured; a higher one can be asked for.
    server.body("/log?level=7&n=2");
    assert_eq!(server.body("/filter?level=4"), "true\n");
    server.body("/log?level=5&n=2");
    assert_eq!(server.body("/get"), "");
    // Not Lua's messages alone.
    server.get("/gone");
    assert!(server.body("/get").contains("No such file or directory)"), "{}", server.log());
    // The oldest make room; ten at a time, unless it is said otherwise.
    server.body("/log?level=4&n=100");
    let first = server.body("/get?max=1");
    assert!(first != line(1) && first.starts_with("4 true "), "{first}");
    assert_eq!(server.body("/get").lines().count(), 10);
    let rest = server.body("/get?max=1000");
    assert!(rest.ends_with(&line(100)), "{rest}");
    assert_eq!(server.body("/list"), "true nil d e\n");
    server.body("/log?level=4&n=1");
    assert_eq!(server.body("/list"), "true 4 nil e\n");
    assert_eq!(server.body("/filter?level=9"), "nilbad log level: 9\n");
    assert_eq!(server.body("/filter"), "nilmissing \"level\" argument\n");
    assert_eq!(server.body("/system"), "5\n");
}

#[test]
fn nothing_is_captured_without_being_asked() {
    let server = start("", ERRLOG, &[]);
    assert!(server.get("/get").starts_with("HTTP/1.1 500 "));
    assert_eq!(server.body("/filter?level=4"), "nildirective \"lua_capture_error_log\" is not set\n");
    for (size, words) in [
        ("3k", "invalid capture error log size \"3k\", minimum size is 4096 in "),
        ("''", "invalid capture error log size \"\" in "),
        ("4k; lua_capture_error_log 4k", "\"lua_capture_error_log\" directive is duplicate in "),
        ("", "invalid number of arguments in \"lua_capture_error_log\" directive in "),
    ] {
        let prefix = Prefix::new();
        prefix.write("conf/nginx.conf", &format!("events {{}} http {{ lua_capture_error_log {size}; }}"));
        let said = String::from_utf8_lossy(&prefix.run(&["-t"]).stderr).into_owned();
        assert!(said.contains(words), "{size}: {said}");
    }
}
