//! Every kind of wait in every phase: each cell waits for something that only another request brings about, so a phase that
//! blocked its worker, or that could not wait, would never come to its end.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::support::{Server, load::Client};

/// What is waited with. Each gives `went on` once `/open` was asked for.
const WAITS: &str = r##"
local semaphore = require "ngx.semaphore"
local waits, open = {}, {}
function waits.sleep(cell)
    repeat ngx.sleep(0.001) until open[cell]
    return "went on"
end
function waits.socket(cell)
    local sock = ngx.socket.tcp()
    assert(sock:connect("127.0.0.1", GATE))
    assert(sock:send(cell .. "\n"))
    local line = assert(sock:receive())
    assert(sock:close())
    return line
end
local semaphores = setmetatable({}, { __index = function(t, cell)
    t[cell] = semaphore.new()
    return t[cell]
end })
function waits.semaphore(cell)
    assert(semaphores[cell]:wait(60))
    return "went on"
end
function waits.thread(cell)
    local t = ngx.thread.spawn(waits.sleep, cell)
    local ok, words = ngx.thread.wait(t)
    return ok and words
end
local M = { seen = {} }
function M.wait(kind, phase)
    local cell = phase .. " " .. kind
    M.seen[cell] = "waits in " .. ngx.get_phase()
    local ok, words = pcall(waits[kind], cell)
    M.seen[cell] = words .. " in " .. ngx.get_phase()
    return words
end
function M.open(cell)
    open[cell] = true
    semaphores[cell]:post()
    -- (whoever asks with a socket is behind a line of its own)
    local sock = ngx.socket.tcp()
    assert(sock:connect("127.0.0.1", GATE))
    assert(sock:send("open " .. cell .. "\n"))
    assert(sock:receive())
    sock:close()
end
return M
"##;

/// Answers a line `CELL` when `open CELL` came over another connection.
fn gate() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut waiting, mut opened) = (Vec::<(String, TcpStream)>::new(), Vec::<String>::new());
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let line = line(&mut stream);
            match line.strip_prefix("open ") {
                Some(cell) => {
                    opened.push(cell.to_string());
                    stream.write_all(b"opened\n").unwrap();
                }
                None => waiting.push((line, stream)),
            }
            waiting.retain_mut(|(cell, stream)| {
                let open = opened.contains(cell);
                if open {
                    stream.write_all(b"went on\n").unwrap();
                }
                !open
            });
        }
    });
    port
}

fn line(stream: &mut TcpStream) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while stream.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

const KINDS: [&str; 4] = ["sleep", "socket", "semaphore", "thread"];

/// The phase as `ngx.get_phase` calls it, and the directives of its location.
const PHASES: [(&str, &str); 11] = [
    ("set", "set_by_lua_block $v { return WAIT } content_by_lua_block { ngx.say(ngx.var.v) }"),
    ("server_rewrite", "content_by_lua_block { ngx.say('went on') }"),
    ("rewrite", "rewrite_by_lua_block { ngx.ctx.v = WAIT } content_by_lua_block { ngx.say(ngx.ctx.v) }"),
    ("access", "access_by_lua_block { ngx.ctx.v = WAIT } content_by_lua_block { ngx.say(ngx.ctx.v) }"),
    ("precontent", "precontent_by_lua_block { ngx.ctx.v = WAIT } content_by_lua_block { ngx.say(ngx.ctx.v) }"),
    ("content", "content_by_lua_block { ngx.say(WAIT) }"),
    ("header_filter", "header_filter_by_lua_block { ngx.header.x = WAIT } content_by_lua_block { ngx.say('went on') }"),
    (
        "body_filter",
        "body_filter_by_lua_block { if not ngx.ctx.v then ngx.ctx.v = WAIT ngx.arg[1] = ngx.ctx.v .. '\\n' end }
         content_by_lua_block { ngx.say('before') }",
    ),
    ("log", "log_by_lua_block { local _ = WAIT } content_by_lua_block { ngx.say('went on') }"),
    ("timer", "content_by_lua_block { assert(ngx.timer.at(0, function() WAIT end)) ngx.say('went on') }"),
    ("init_worker", "content_by_lua_block { ngx.say('went on') }"),
];
/// Whose answer does not wait.
const AFTERWARDS: [&str; 3] = ["log", "timer", "init_worker"];

#[test]
fn every_wait_in_every_phase_delays_its_own_request_only() {
    let gate = gate();
    let mut locations = String::new();
    let mut init_worker = String::new();
    for (phase, directives) in PHASES {
        for kind in KINDS {
            let wait = format!("require('waits').wait('{kind}', '{phase}')");
            locations.push_str(&format!("location = /{phase}/{kind} {{ {} }}\n", directives.replace("WAIT", &wait)));
            // (the worker serves once it has begun: who waits longer does so in a light thread of a timer's)
            if phase == "init_worker" {
                init_worker.push_str(&format!("threads[#threads + 1] = ngx.thread.spawn(function() {wait} end)\n"));
            }
        }
    }
    let server = Server::with_main(
        "worker_processes 1;",
        &format!(
            "lua_package_path '${{prefix}}?.lua;;'; lua_socket_log_errors off;
            init_worker_by_lua_block {{
                local waits, threads = require 'waits', {{}}
                ngx.timer.at(0, function()
                    for _, kind in ipairs {{ 'sleep', 'socket', 'semaphore', 'thread' }} do waits.open('init_worker ' .. kind) end
                end)
                {init_worker}
                for _, t in ipairs(threads) do assert(ngx.thread.wait(t)) end
            }}
            server {{
                listen 127.0.0.1:PORT;
                server_rewrite_by_lua_block {{
                    local kind = ngx.var.uri:match('^/server_rewrite/(.*)$')
                    if kind then require('waits').wait(kind, 'server_rewrite') end
                }}
                {locations}
                location = /open {{ content_by_lua_block {{ require('waits').open(ngx.unescape_uri(ngx.var.args)) ngx.say('opened') }} }}
                location = /seen {{ content_by_lua_block {{ ngx.say(require('waits').seen[ngx.unescape_uri(ngx.var.args)] or 'nothing') }} }}
            }}"
        ),
        &[("waits.lua", &WAITS.replace("GATE", &gate.to_string()))],
    );
    let mut other = Client::new(server.port);
    let mut ask = |path: String| {
        other.send(&path);
        other.answer().1.trim_end().to_string()
    };
    let mut table = String::new();
    for (phase, _) in PHASES {
        for kind in KINDS {
            let mut client = Client::new(server.port);
            client.send(&format!("/{phase}/{kind}"));
            let cell = format!("{phase}%20{kind}");
            if phase != "init_worker" {
                // The worker answers others while this one waits.
                let waits = format!("waits in {phase}");
                assert!((0..100_000).any(|_| ask(format!("/seen?{cell}")) == waits), "{cell}\n{}", server.log());
                if AFTERWARDS.contains(&phase) {
                    assert_eq!(client.answer(), (200, "went on\n".into()), "{cell}");
                }
                assert_eq!(ask(format!("/open?{cell}")), "opened");
            }
            if phase == "init_worker" || !AFTERWARDS.contains(&phase) {
                assert_eq!(client.answer(), (200, "went on\n".into()), "{cell}\n{}", server.log());
            }
            let waits = format!("waits in {phase}");
            let seen = (0..100_000).map(|_| ask(format!("/seen?{cell}"))).find(|seen| *seen != waits);
            table.push_str(&format!("{phase} {kind}: {}\n", seen.unwrap_or(waits)));
        }
    }
    let expected: String = PHASES
        .iter()
        .flat_map(|(phase, _)| KINDS.map(|kind| format!("{phase} {kind}: went on in {phase}\n")))
        .collect();
    assert_eq!(table, expected, "{}", server.log());
    assert!(!server.log().contains("[error]"), "{}", server.log());
}

#[test]
fn init_by_lua_refuses_to_wait() {
    let rows = [
        ("ngx.sleep(0)", "API disabled in the context of init_by_lua*"),
        ("ngx.socket.tcp()", "API disabled in the context of init_by_lua*"),
        ("ngx.socket.udp()", "API disabled in the context of init_by_lua*"),
        ("require('ngx.semaphore').new(1):wait(0)", "API disabled in the context of init_by_lua*"),
        ("ngx.thread.spawn(print)", "API disabled in the context of init_by_lua*"),
        ("ngx.thread.wait(coroutine.create(print))", "API disabled in the context of init_by_lua*"),
        ("ngx.timer.at(0, print)", "API disabled in the context of init_by_lua*"),
        ("ngx.location.capture('/')", "API disabled in the context of init_by_lua*"),
        ("ngx.run_worker_thread('p', 'm', 'f')", "API disabled in the context of init_by_lua*"),
        ("require('ngx.pipe').spawn('true')", "API disabled in the current context"),
    ];
    let tries: String = rows
        .iter()
        .map(|(code, _)| format!("told[#told + 1] = tostring(select(2, pcall(function() {code} end)))\n"))
        .collect();
    let server = Server::start(
        &format!(
            "init_by_lua_block {{ told = {{}} {tries} }}
            server {{ listen 127.0.0.1:PORT; location / {{ content_by_lua_block {{ ngx.say(table.concat(told, '\\n')) }} }} }}"
        ),
        &[],
    );
    let told = server.body("/");
    for ((code, expected), told) in rows.iter().zip(told.lines()) {
        assert!(told.ends_with(expected), "{code}: {told}");
    }
    assert_eq!(told.lines().count(), rows.len(), "{told}");
}

#[test]
fn precontent_runs_after_try_files_unless_told_otherwise() {
    for (postpone, expected) in [
        ("", "precontent of /b in precontent\n"),
        ("precontent_by_lua_no_postpone on;", "precontent of /t in precontent\n"),
    ] {
        let server = Server::start(
            &format!(
                "{postpone} server {{ listen 127.0.0.1:PORT; root html;
                location = /t {{
                    precontent_by_lua_block {{ ngx.ctx.v = 'precontent of ' .. ngx.var.uri .. ' in ' .. ngx.get_phase() }}
                    try_files /b =404;
                    content_by_lua_block {{ ngx.say(ngx.ctx.v) }}
                }}
                location = /over {{ precontent_by_lua_block {{ ngx.say('over') ngx.exit(200) }} content_by_lua_block {{ ngx.say('never') }} }}
                location = /none {{ precontent_by_lua_block {{ ngx.exit(403) }} content_by_lua_block {{ ngx.say('never') }} }}
                location = /fails {{ precontent_by_lua_block {{ error('on purpose') }} }} }}"
            ),
            &[("html/b", "")],
        );
        assert_eq!(server.body("/t"), expected, "{}", server.log());
        assert_eq!(server.body("/over"), "over\n");
        assert!(server.get("/none").starts_with("HTTP/1.1 403 "));
        assert!(server.get("/fails").starts_with("HTTP/1.1 500 "));
    }
}
