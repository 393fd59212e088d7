//! Every kind of wait times every way it can go wrong: what Lua is told, and that nothing is left of it (light threads, waits,
//! timers, idle connections, file descriptors).
//!
//! What has a peer gets the fault from its peer; what has none (sleep, semaphore, thread) gets it from its client.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::support::peer::Peer;
use crate::support::status::Status;
use crate::support::tls::{TlsPeer, supported};
use crate::support::{PATIENCE, Server, until};

const LUA: &str = r##"
local M, kinds = {}, {}
local shared = ngx.shared.d
local function gate() while not shared:get("go") do ngx.sleep(0.001) end end
local function show(...)
    local out = {}
    for i = 1, select("#", ...) do out[i] = tostring((select(i, ...))) end
    return table.concat(out, " ")
end
local function tcp(port, line)
    local sock = ngx.socket.tcp()
    sock:settimeouts(60000, 60000, 60000)
    assert(sock:connect("127.0.0.1", port))
    assert(sock:send(line .. "\n"))
    return sock
end
-- (what times out before anything came has been too early)
local function first_of(read, from, ...)
    local _, err, partial = ...
    if select("#", ...) == 0 or (err == "timeout" and partial == "") then return first_of(read, from, read(from)) end
    return ...
end
function kinds.sleep(fault)
    if fault == "timeout" then ngx.sleep(0.01) else gate() end
    return "went on"
end
function kinds.connect(fault)
    local sock = ngx.socket.tcp()
    sock:settimeouts(fault == "timeout" and 20 or 60000, 60000, 60000)
    local port = fault == "reset" and CLOSED or (fault == "half" or fault == "bytes") and TCP or FULL
    return sock:connect("127.0.0.1", port)
end
function kinds.read(fault)
    local sock = tcp(TCP, fault == "reset" and "reset\nmore" or fault)
    if fault == "timeout" then sock:settimeout(20) end
    return first_of(sock.receive, sock)
end
function kinds.write(fault)
    local how = { timeout = "unread", reset = "unread reset", half = "slowly", bytes = "slowly", reload = "gate" }
    local sock = tcp(TCP, how[fault] or "unread")
    if fault == "timeout" then sock:settimeout(20) end
    local n, err
    -- (until the kernel takes no more)
    for i = 1, fault == "timeout" and 40 or fault == "reset" and 400 or 12 do
        n, err = sock:send(("x"):rep(1000000))
        if not n then break end
    end
    return n, err
end
function kinds.handshake(fault)
    local how = { timeout = "tls timeout", reset = "tls reset", half = "tls half", bytes = "tls bytes" }
    local sock = tcp(TCP, how[fault] or "tls")
    if fault == "timeout" then sock:settimeout(20) end
    return sock:sslhandshake(false)
end
local function secure(line)
    local sock = ngx.socket.tcp()
    sock:settimeouts(60000, 60000, 60000)
    assert(sock:connect("127.0.0.1", SECURE))
    assert(sock:sslhandshake(false))
    assert(sock:send(line .. "\n"))
    return sock
end
function kinds.secure_read(fault)
    local how = { reset = "reset", half = "half", bytes = "hello" }
    local sock = secure(how[fault] or "wait")
    if fault == "timeout" then sock:settimeout(20) end
    return sock:receive()
end
function kinds.secure_write(fault)
    local sock = secure(fault == "reset" and "reset" or "stop")
    if fault == "timeout" then sock:settimeout(20) end
    local n, err
    for i = 1, fault == "timeout" and 40 or fault == "reset" and 400 or 12 do
        n, err = sock:send(("x"):rep(1000000))
        if not n then break end
    end
    return n, err
end
function kinds.udp(fault)
    local sock = ngx.socket.udp()
    sock:settimeout(fault == "timeout" and 20 or 60000)
    assert(sock:setpeername("127.0.0.1", fault == "reset" and SHUT or UDP))
    assert(sock:send(fault))
    return sock:receive()
end
function kinds.semaphore(fault)
    local sema = require("ngx.semaphore").new()
    if fault == "timeout" then return sema:wait(0.01) end
    local poster = ngx.thread.spawn(function() gate() sema:post() end)
    local ok, err = sema:wait(60)
    return ok, err
end
function kinds.thread(fault)
    return ngx.thread.wait(ngx.thread.spawn(kinds.sleep, fault))
end
function kinds.subrequest(fault)
    local answer = ngx.location.capture("/inner", { args = { fault = fault } })
    return answer.status, answer.body
end
function kinds.pipe(fault)
    local script = {
        timeout = "printf par; exec sleep 200", reset = "printf par; kill -9 $$", half = "printf par; exec >&-; exec sleep 200",
        bytes = "for c in h e l l; do printf $c; done; echo o", reload = "while [ ! -e " .. ngx.config.prefix() .. "go ]; do sleep 0.01; done; echo hello",
    }
    local proc = assert(require("ngx.pipe").spawn({ "sh", "-c", script[fault] or "exec sleep 200" }))
    proc:set_timeouts(nil, fault == "timeout" and 20 or 60000)
    return first_of(proc.stdout_read_line, proc)
end
function M.inner() ngx.print(show(kinds.read(ngx.var.arg_fault))) end
function M.run()
    local kind, fault = ngx.var.arg_kind, ngx.var.arg_fault
    if fault ~= "kill" then return ngx.say(show(kinds[kind](fault))) end
    local t = ngx.thread.spawn(function() return kinds[kind](fault) end)
    while not shared:get("kill") do ngx.sleep(0.001) end
    local ok, err = ngx.thread.kill(t)
    shared:set("killed", true)
    ngx.say(show(ok, err))
end
return M
"##;

/// How `perilune_status` calls it, and what Lua is told in each case; None: nobody is left to tell.
type Kind = (&'static str, &'static str, [Option<&'static str>; FAULTS.len()]);
const FAULTS: [&str; 7] = ["timeout", "reset", "half", "bytes", "gone", "reload", "kill"];
const KINDS: [Kind; 12] = [
    ("sleep", "sleep", [Some("went on"), None, Some("went on"), Some("went on"), None, Some("went on"), Some("1 nil")]),
    (
        "connect",
        "connect",
        [Some("nil timeout"), Some("nil connection refused"), Some("1"), Some("1"), None, Some("1"), Some("1 nil")],
    ),
    (
        "read",
        "read",
        [
            Some("nil timeout par"),
            Some("nil connection reset by peer "),
            Some("nil closed par"),
            Some("hello"),
            None,
            Some("hello"),
            Some("1 nil"),
        ],
    ),
    (
        "write",
        "write",
        [
            Some("nil timeout"),
            Some("nil connection reset by peer"),
            Some("1000000 nil"),
            Some("1000000 nil"),
            None,
            Some("1000000 nil"),
            Some("1 nil"),
        ],
    ),
    (
        "udp",
        "read",
        [Some("nil timeout"), Some("nil connection refused"), Some(""), Some("h"), None, Some("hello"), Some("1 nil")],
    ),
    (
        "semaphore",
        "semaphore",
        [Some("false timeout"), None, Some("true nil"), Some("true nil"), None, Some("true nil"), Some("1 nil")],
    ),
    (
        "thread",
        "thread",
        [
            Some("true went on"),
            None,
            Some("true went on"),
            Some("true went on"),
            None,
            Some("true went on"),
            Some("1 nil"),
        ],
    ),
    (
        "subrequest",
        "subrequest",
        [
            Some("200 nil timeout par"),
            Some("200 nil connection reset by peer "),
            Some("200 nil closed par"),
            Some("200 hello"),
            None,
            Some("200 hello"),
            Some("nil pending subrequests"),
        ],
    ),
    (
        "pipe",
        "read",
        [
            Some("nil timeout par"),
            Some("nil closed par"),
            Some("nil closed par"),
            Some("hello"),
            None,
            Some("hello"),
            Some("1 nil"),
        ],
    ),
    (
        "handshake",
        "connect",
        [
            Some("nil timeout"),
            Some("nil handshake failed"),
            Some("nil handshake failed"),
            Some("true"),
            None,
            Some("true"),
            Some("1 nil"),
        ],
    ),
    (
        "secure_read",
        "read",
        [
            Some("nil timeout "),
            Some("nil connection reset by peer "),
            Some("nil closed par"),
            Some("hello"),
            None,
            Some("hello"),
            Some("1 nil"),
        ],
    ),
    (
        "secure_write",
        "write",
        [
            Some("nil timeout"),
            Some("nil connection reset by peer"),
            Some("1000000 nil"),
            Some("1000000 nil"),
            None,
            Some("1000000 nil"),
            Some("1 nil"),
        ],
    ),
];
/// Where the client has to do what a peer would do.
const WITHOUT_PEER: [&str; 3] = ["sleep", "semaphore", "thread"];

fn start(peer: &Peer, secure: &TlsPeer) -> Server {
    let lua = [
        ("TCP", peer.tcp),
        ("UDP", peer.udp),
        ("CLOSED", peer.closed),
        ("SHUT", peer.shut),
        ("FULL", peer.full),
        ("SECURE", secure.port),
    ]
    .iter()
    .fold(LUA.to_string(), |lua, (name, port)| lua.replace(name, &port.to_string()));
    let run = "content_by_lua_block { require('faults').run() }";
    Server::with_main(
        "worker_processes 1;",
        &format!(
            "lua_package_path '${{prefix}}?.lua;;'; lua_shared_dict d 100k; lua_socket_log_errors off;
            server {{
                listen 127.0.0.1:PORT;
                location = /w {{ {run} }}
                location = /left {{ lua_check_client_abort on; {run} }}
                location = /inner {{ content_by_lua_block {{ require('faults').inner() }} }}
                location = /go {{ content_by_lua_block {{
                    ngx.shared.d:set('go', ngx.var.args == '1')
                    if ngx.var.args ~= '1' then collectgarbage() collectgarbage() end
                }} }}
                location = /kill {{ content_by_lua_block {{
                    ngx.shared.d:set('kill', true)
                    while not ngx.shared.d:get('killed') do ngx.sleep(0.001) end
                    ngx.say('done')
                }} }}
                location = /status {{ perilune_status; }}
                location = /pid {{ return 200 $pid; }}
            }}"
        ),
        &[("faults.lua", &lua)],
    )
}

/// Open files of the serving process.
fn fds(server: &Server) -> u64 {
    std::fs::read_dir(format!("/proc/{}/fd", server.body("/pid"))).unwrap().count() as u64
}

/// What there is of everything that could leak.
#[derive(Clone, PartialEq, Debug)]
struct There {
    counts: Vec<u64>,
    waits: Vec<(String, u64)>,
    fds: u64,
}

impl There {
    /// Nothing has been added. (What was about to be closed may be gone: a worker that has ended, the files of its runtime.)
    fn no_more_than(&self, before: &There) -> bool {
        self.counts == before.counts && self.waits == before.waits && self.fds <= before.fds
    }
}

fn all_there_is(server: &Server) -> There {
    server.body("/go?0");
    let status = Status::of(server);
    let names = ["light_threads", "timers_pending", "timers_running", "idle_sockets", "exiting"];
    There { counts: names.map(|name| status.worker(name)).into(), waits: status.waits(), fds: fds(server) }
}

/// The same once it does not change any more: connections that were closed are gone.
fn settled(server: &Server) -> There {
    let mut seen = vec![all_there_is(server)];
    until("nothing changes any more", || {
        seen.push(all_there_is(server));
        matches!(&seen[..], [.., a, b, c] if a == b && b == c)
    });
    seen.pop().expect("three of them")
}

struct Cell<'t> {
    kind: &'t str,
    fault: &'t str,
    what: &'t str,
}

impl Cell<'_> {
    /// Runs the request and brings the fault about. What was answered; None: nobody was there to hear it.
    fn run(&self, server: &Server, peer: &Peer, secure: &TlsPeer) -> Option<String> {
        let Cell { kind, fault, what } = *self;
        let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let by_client = WITHOUT_PEER.contains(&kind);
        let leaves = fault == "gone" || (by_client && fault == "reset");
        let path = if leaves { "/left" } else { "/w" };
        let request = format!("GET {path}?kind={kind}&fault={fault} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        if by_client && fault == "bytes" {
            client.set_nodelay(true).unwrap();
            request.bytes().for_each(|byte| client.write_all(&[byte]).unwrap());
        } else {
            client.write_all(request.as_bytes()).unwrap();
        }
        let waits = |status: &Status| status.waits().iter().any(|(name, _)| name == what);
        match fault {
            "gone" | "reset" if leaves => {
                Status::until(server, waits);
                if fault == "reset" {
                    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
                }
                return None;
            }
            "half" if by_client => {
                client.shutdown(Shutdown::Write).unwrap();
                Status::until(server, waits);
            }
            "reload" => {
                Status::until(server, waits);
                server.signal("HUP");
                Status::until(server, |status| status.worker("exiting") == 1);
            }
            "kill" => {
                Status::until(server, waits);
                assert_eq!(server.body("/kill"), "done\n");
            }
            _ => {}
        }
        if fault == "reload" || fault == "kill" || by_client {
            peer.open(true);
            secure.open(true);
            server.get("/go?1");
            if kind == "pipe" {
                server.prefix.write("go", "");
            }
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        // (chunked: size, text, end)
        answer.rsplit("\r\n").find(|line| line.ends_with('\n')).map(|line| line.trim_end_matches('\n').to_string())
    }
}

fn check(kind: &Kind) {
    let (kind, what, expected) = *kind;
    if (kind.starts_with("secure") || kind == "handshake") && !supported() {
        return;
    }
    let mut found = String::new();
    let mut wanted = String::new();
    for (fault, expected) in FAULTS.into_iter().zip(expected) {
        let peer = Peer::start();
        let secure = TlsPeer::named("good");
        let server = start(&peer, &secure);
        // (a first request opens what stays open, a first reload, too)
        server.body("/go?0");
        if fault == "reload" {
            server.signal("HUP");
            until("the reload", || server.log().contains("gracefully shutting down"));
            Status::until(&server, |status| status.worker("exiting") == 0);
            server.body("/go?0");
        }
        let before = settled(&server);
        // (who writes to one that reads nothing for a while)
        secure.open(fault == "half" || fault == "bytes");
        let answer = Cell { kind, fault, what }.run(&server, &peer, &secure);
        peer.open(false);
        secure.open(false);
        let mut after = all_there_is(&server);
        let since = Instant::now();
        while !after.no_more_than(&before) && since.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
            after = all_there_is(&server);
        }
        let clean = after.no_more_than(&before);
        assert!(clean, "{kind} x {fault}: {before:?}, then {after:?}: {answer:?}\n{}", server.log());
        let show = |answer: Option<&str>| format!("{kind} x {fault}: {}\n", answer.unwrap_or("(nobody)"));
        found.push_str(&show(answer.as_deref()));
        wanted.push_str(&show(expected));
        // (a handshake that fails is logged whatever lua_socket_log_errors says)
        let log: Vec<String> =
            server.log().lines().filter(|line| !line.contains("SSL handshake")).map(String::from).collect();
        let quiet = !log.iter().any(|line| line.contains("[alert]") || line.contains("[error]"));
        assert!(quiet, "{fault}: {log:#?}");
    }
    assert_eq!(found, wanted);
}

macro_rules! rows {
    ($($name:ident = $at:literal;)*) => {
        $(#[test] fn $name() { check(&KINDS[$at]); })*
    };
}

rows! {
    sleep = 0;
    connect = 1;
    read = 2;
    write = 3;
    udp_read = 4;
    semaphore = 5;
    thread_wait = 6;
    subrequest = 7;
    pipe_read = 8;
    tls_handshake = 9;
    tls_read = 10;
    tls_write = 11;
}
