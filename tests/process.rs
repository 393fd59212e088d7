//! The process: detaching, signals, pid file, addresses in use.

use std::io::{Read, Write};

use crate::support::load::Client;
use crate::support::peer::Peer;
use crate::support::{Prefix, Server, free_port, signal, until};

const ECHO: &str = "server { listen 127.0.0.1:PORT; return 200 one; }";

#[test]
fn a_daemon_serves_when_its_parent_returns_and_quits_when_told() {
    let (prefix, port) = (Prefix::new(), free_port());
    let http = ECHO.replace("PORT", &port.to_string());
    prefix.write("conf/nginx.conf", &format!("pid logs/nginx.pid; events {{}} http {{ {http} }}"));
    let status = prefix.command(&[]).status().unwrap();
    assert!(status.success());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert!(!prefix.read("logs/nginx.pid").trim().is_empty());
    assert!(prefix.run(&["-s", "quit"]).status.success());
    until("the pid file is gone", || prefix.read("logs/nginx.pid").is_empty());
}

#[test]
fn a_second_server_finds_the_address_in_use() {
    for workers in ["1", "2"] {
        let first = Server::with_main(&format!("worker_processes {workers};"), ECHO, &[]);
        let second = first.prefix.run(&["-g", "lock_file x;"]);
        assert_eq!(second.status.code(), Some(1));
        let text = String::from_utf8_lossy(&second.stderr).into_owned();
        let expected =
            format!("nginx: [emerg] bind() to 127.0.0.1:{} failed (98: Address already in use)\n", first.port);
        assert_eq!(text, expected.repeat(5) + "nginx: [emerg] still could not bind()\n");
        assert_eq!(first.body("/"), "one");
    }
}

#[test]
fn reload_swaps_the_configuration_and_a_bad_one_does_not() {
    let server = Server::start(ECHO, &[]);
    let conf = server.prefix.read("conf/nginx.conf");
    assert_eq!(server.body("/"), "one");
    server.prefix.write("conf/nginx.conf", &conf.replace("one", "two"));
    server.signal("HUP");
    until("the new configuration", || server.body("/") == "two");
    server.prefix.write("conf/nginx.conf", "nonsense;");
    server.signal("HUP");
    until("the complaint", || server.log().contains("[emerg]"));
    assert!(server.log().contains("unknown directive \"nonsense\" in "));
    let told = server.prefix.run(&["-s", "reload"]);
    let error = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(!told.status.success() && error.contains(": [emerg] unknown directive \"nonsense\" in "), "{error}");
    assert_eq!(server.body("/"), "two");
}

#[test]
fn usr1_reopens_the_logs() {
    let server = Server::start(&format!("access_log logs/a.log; {ECHO}"), &[]);
    server.body("/");
    std::fs::rename(server.prefix.0.join("logs/a.log"), server.prefix.0.join("logs/old.log")).unwrap();
    server.signal("USR1");
    // The parent's file is there before the serving process has its own: what it writes until then is in the old one.
    until("a line in the new file", || {
        server.body("/x");
        server.prefix.read("logs/a.log").contains("GET /x HTTP/1.0")
    });
    assert!(server.prefix.read("logs/old.log").contains("GET / HTTP/1.0"));
}

#[test]
fn other_signals_are_noted_only() {
    let server = Server::start(ECHO, &[]);
    for (signal, line) in [
        ("ALRM", "signal 14 (SIGALRM) received from PID\n"),
        ("IO", "signal 29 (SIGIO) received from PID\n"),
        ("USR2", "signal 12 (SIGUSR2) received from PID, ignoring\n"),
        ("WINCH", "signal 28 (SIGWINCH) received from PID, ignoring\n"),
    ] {
        let line = line.replace("PID", &std::process::id().to_string());
        server.signal(signal);
        until(signal, || server.log().contains(&line));
    }
    assert!(!server.body("/").is_empty());
}

#[test]
fn quit_and_term_end_it() {
    for signal in ["QUIT", "TERM", "INT"] {
        let mut server = Server::with_main("worker_processes 2;", ECHO, &[]);
        let idle = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        server.signal(signal);
        assert!(server.ended(), "{signal}");
        assert!(server.prefix.read("logs/nginx.pid").is_empty());
        drop(idle);
    }
}

#[test]
fn quit_lets_requests_finish() {
    let mut server = Server::start(
        "server { listen 127.0.0.1:PORT; location / { echo a; echo_flush; echo_sleep 0.5; echo b; } }",
        &[],
    );
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut begun = [0; 1000];
    let count = stream.read(&mut begun).unwrap();
    server.signal("QUIT");
    let mut answer = String::from_utf8_lossy(&begun[..count]).into_owned();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\na\nb\n"), "{answer}");
    assert!(server.ended());
}

#[test]
fn identity() {
    let prefix = Prefix::new();
    let text = String::from_utf8_lossy(&prefix.run(&["-V"]).stderr).into_owned();
    assert!(text.starts_with("nginx version: nginx/1.22.1 (perilune/"), "{text}");
    for words in ["built with OpenSSL ", "configure arguments:", "pcre", "--without-http_fastcgi_module"] {
        assert!(text.contains(words), "{text}");
    }
}

/// After a reload with fewer workers, every socket that the kernel hands connections to is still served.
#[test]
fn fewer_workers() {
    let http =
        r#"server { listen 127.0.0.1:PORT; location / { content_by_lua_block { ngx.print(ngx.worker.count()) } } }"#;
    let server = Server::with_main("worker_processes 4;", http, &[]);
    assert_eq!(server.body("/"), "4");
    let conf = server.prefix.read("conf/nginx.conf");
    server.prefix.write("conf/nginx.conf", &conf.replace("worker_processes 4", "worker_processes 1"));
    server.signal("HUP");
    // (until all of the old ones have left, one of them may take a connection)
    let mut in_a_row = 0;
    until("only the new one answers", || {
        let count = server.body("/");
        assert!(["1", "4"].contains(&count.as_str()), "{count}\n{}", server.log());
        in_a_row = if count == "1" { in_a_row + 1 } else { 0 };
        in_a_row == 20
    });
}

/// The pid of the serving process, as a request sees it.
fn serving(server: &Server) -> u32 {
    server.body("/").trim().parse().unwrap_or(0)
}

const PID: &str = r#"server { listen 127.0.0.1:PORT; location / { return 200 $pid; }
    location /parent { content_by_lua_block {
        local process = require "ngx.process"
        ngx.print(process.get_master_pid(), " ", ngx.worker.pid())
    } } }"#;

#[test]
fn a_parent_supervises_the_server() {
    let mut server = Server::start(PID, &[]);
    let (parent, child) = (server.pid(), serving(&server));
    assert_ne!(child, 0, "{}", server.log());
    assert_ne!(parent, child);
    assert_eq!(server.prefix.read("logs/nginx.pid").trim(), parent.to_string());
    assert_eq!(server.body("/parent"), format!("{parent} {child}"));
    assert!(server.log().contains(&format!("start worker process {child}\n")), "{}", server.log());
    server.signal("QUIT");
    assert!(server.ended());
    let alone = Server::with_main("master_process off;", PID, &[]);
    assert_eq!(serving(&alone), alone.pid());
}

/// A killed server is replaced, and no client is refused meanwhile: what connects waits in the queue of the open socket.
#[test]
fn a_killed_server_is_replaced() {
    let server = Server::with_main("worker_processes 2;", PID, &[]);
    for name in ["KILL", "ABRT"] {
        let before = serving(&server);
        signal(before, name);
        // (until the kernel has taken the old one down, it may still be the one that accepts)
        until("another server", || {
            let stream = std::net::TcpStream::connect(("127.0.0.1", server.port));
            assert!(stream.is_ok(), "refused: {stream:?}\n{}", server.log());
            !matches!(serving(&server), now if now == before || now == 0)
        });
        let number = match name {
            "KILL" => 9,
            _ => 6,
        };
        let log = server.log();
        assert!(log.contains(&format!("signal 17 (SIGCHLD) received from {before}\n")), "{log}");
        assert!(
            log.contains("[alert] ") && log.contains(&format!("worker process {before} exited on signal {number}")),
            "{log}"
        );
    }
}

#[test]
fn a_reload_keeps_the_server_and_its_dictionaries() {
    let http = r#"lua_shared_dict kept 1m; server { listen 127.0.0.1:PORT;
        location / { content_by_lua_block { ngx.print("one ", ngx.worker.pid(), " ", (ngx.shared.kept:incr("n", 1, 0))) } } }"#;
    let server = Server::start(http, &[]);
    let first = server.body("/");
    let conf = server.prefix.read("conf/nginx.conf");
    server.prefix.write("conf/nginx.conf", &conf.replace("one ", "two "));
    server.signal("HUP");
    until("the new configuration", || server.body("/").starts_with("two "));
    let words = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<_>>();
    let (first, second) = (words(&first), words(&server.body("/")));
    assert_eq!(first[1], second[1], "the process is the same");
    assert!(second[2].parse::<u32>().unwrap() > 2, "{second:?}");
    // Other limits need another process.
    server.prefix.write("conf/nginx.conf", &format!("worker_rlimit_nofile 777; {}", conf.replace("one ", "three ")));
    server.signal("HUP");
    // (until they have their orders, the old ones accept too)
    let third = std::cell::RefCell::new(String::new());
    until("another process", || {
        *third.borrow_mut() = server.body("/");
        third.borrow().starts_with("three ")
    });
    let third = words(&third.borrow());
    assert_ne!(second[1], third[1]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", third[1])).unwrap();
    assert!(limits.lines().any(|line| line.starts_with("Max open files            777 ")), "{limits}");
}

#[test]
fn logs_are_reopened_in_the_serving_process() {
    let server = Server::with_main("", &format!("access_log logs/a.log; {PID}"), &[]);
    server.body("/before");
    let path = server.prefix.0.join("logs/a.log");
    std::fs::rename(&path, server.prefix.0.join("logs/a.old")).unwrap();
    server.signal("USR1");
    until("a line in the new file", || {
        server.body("/after");
        server.prefix.read("logs/a.log").contains("/after")
    });
    assert!(server.prefix.read("logs/a.old").contains("/before"));
}

/// Started by root, the server belongs to the `user`, and still writes to logs and bodies that only root could open or make.
#[test]
fn rights_are_given_up() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root has rights to give up");
        return;
    }
    let http = r#"access_log logs/a.log; server { listen 127.0.0.1:PORT; client_body_buffer_size 1k; client_body_in_file_only clean;
        location / { content_by_lua_block {
            for line in io.lines("/proc/self/status") do
                if line:find("^[UG]id:") or line:find("^Groups:") then ngx.print(line, ";") end
            end
        } }
        location /body { content_by_lua_block { ngx.req.read_body() ngx.print(ngx.req.get_body_file() and "filed") } } }"#;
    let server = Server::with_main("worker_processes 2; user daemon;", http, &[]);
    std::fs::set_permissions(server.prefix.0.join("logs"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    assert_eq!(server.body("/"), "Uid:\t1\t1\t1\t1;Gid:\t1\t1\t1\t1;Groups:\t1 ;");
    let body = server.raw(b"POST /body HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc");
    assert!(body.ends_with("filed<closed>"), "{body}\n{}", server.log());
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(format!("/proc/{}", server.pid())).unwrap());
    assert_eq!(owner, 0, "the parent keeps its rights");
    // A configuration that only root may read is read by the parent.
    let path = server.prefix.0.join("conf/nginx.conf");
    let conf = server.prefix.read("conf/nginx.conf").replace("filed", "kept");
    server.prefix.write("conf/nginx.conf", &conf);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    server.signal("HUP");
    until("the new configuration", || {
        server.raw(b"POST /body HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc").ends_with("kept<closed>")
    });
    std::fs::remove_file(server.prefix.0.join("logs/a.log")).unwrap();
    server.signal("USR1");
    until("a line in the new file", || !server.body("/").is_empty() && !server.prefix.read("logs/a.log").is_empty());
}

#[test]
fn a_user_that_does_not_exist() {
    let prefix = Prefix::new();
    prefix.write("conf/nginx.conf", "user nosuch; events {}");
    let text = String::from_utf8_lossy(&prefix.run(&["-t"]).stderr).into_owned();
    let expected = match rustix::process::geteuid().is_root() {
        true => "[emerg] getpwnam(\"nosuch\") failed in ",
        false => {
            "[warn] the \"user\" directive makes sense only if the master process runs with super-user privileges, ignored in "
        }
    };
    assert!(text.contains(expected), "{text}");
}

/// Without its parent the server ends, and its port is free.
#[test]
fn a_server_ends_with_its_parent() {
    let mut server = Server::start(PID, &[]);
    let child = serving(&server);
    server.signal("KILL");
    assert!(server.ended());
    until("the server's end", || {
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        status.is_empty() || status.contains("State:\tZ")
    });
    // (its first thread may be gone before the others, and what they have open)
    until("the port is free", || std::net::TcpListener::bind(("127.0.0.1", server.port)).is_ok());
}

/// What `env` names, and TZ, is there for Lua; with a parent or without one.
#[test]
fn the_environment_is_what_env_says() {
    let http = r#"server { listen 127.0.0.1:PORT; location / { content_by_lua_block {
        for _, name in ipairs { "GIVEN", "KEPT", "TZ", "HOME", "GONE" } do ngx.print(name, "=", tostring(os.getenv(name)), " ") end
        ngx.print(io.popen("echo $KEPT$GONE"):read("*l"))
    } } }"#;
    let conf = |master: &str| {
        format!(
            "daemon off; master_process {master}; user root; pid logs/nginx.pid; env GIVEN=here; env KEPT; env GONE=; env NONE;
            error_log logs/error.log; events {{}} http {{ {http} }}"
        )
    };
    for master in ["on", "off"] {
        let (prefix, port) = (Prefix::new(), free_port());
        prefix.write("conf/nginx.conf", &conf(master).replace("PORT", &port.to_string()));
        let mut command = prefix.command(&[]);
        command.env("GIVEN", "there").env("KEPT", "kept").env("GONE", "gone").env("HOME", "/x").env("TZ", "UTC");
        let mut server = Server::with_command(command, prefix, port);
        let expected = "GIVEN=here KEPT=kept TZ=UTC HOME=nil GONE= kept";
        assert_eq!(server.body("/"), expected, "{master}\n{}", server.log());
        if master == "on" {
            let conf = server.prefix.read("conf/nginx.conf");
            server.prefix.write("conf/nginx.conf", &conf.replace("GIVEN=here", "GIVEN=anew"));
            server.signal("HUP");
            until("the other environment", || server.body("/").starts_with("GIVEN=anew KEPT=kept "));
        }
        server.signal("QUIT");
        assert!(server.ended());
    }
}

/// Clients beyond `worker_connections` are turned away; idle ones make room for new ones.
#[test]
fn connections_are_limited() {
    let http = r#"server { listen 127.0.0.1:PORT; location / { return 200 one; }
        location /wait { content_by_lua_block { begun = (begun or 0) + 1 while not go do ngx.sleep(0.001) end ngx.say("done") } }
        location /begun { content_by_lua_block { ngx.print(begun) } } location /go { content_by_lua_block { go = true } } }"#;
    // (one is for listening, one for the parent)
    let conf = format!(
        "daemon off; user root; pid logs/nginx.pid; error_log logs/error.log info; events {{ worker_connections 5; }} http {{ {http} }}"
    );
    let server = Server::with_conf(&conf, &[], &[]);
    let mut idle: Vec<Client> = (0..3).map(|_| Client::new(server.port)).collect();
    // (the first two once more, so that the third has been idle for longest)
    for at in [0, 1, 2, 0, 1] {
        idle[at].send("/");
        assert_eq!(idle[at].answer(), (200, "one".into()));
    }
    let mut fourth = Client::new(server.port);
    fourth.send("/");
    assert_eq!(fourth.answer(), (200, "one".into()));
    assert!(idle[2].ends(), "{}", server.log());
    idle[2] = fourth;
    for client in &mut idle {
        client.send("/");
        assert_eq!(client.answer(), (200, "one".into()));
    }
    // Nobody asks for anything: there is room for others.
    let mut waiting: Vec<Client> = Vec::new();
    for count in 1..=2 {
        let mut client = Client::new(server.port);
        client.send("/wait");
        waiting.push(client);
        until("it begins", || server.body("/begun") == count.to_string());
    }
    assert!(
        server.log().contains("[warn]")
            && server.log().contains("5 worker_connections are not enough, reusing connections")
    );
    drop(idle);
    until("the last place is taken", || {
        let mut client = Client::new(server.port);
        client.send("/wait");
        waiting.push(client);
        server.log().contains("[alert]")
    });
    assert!(server.log().contains("5 worker_connections are not enough\n"), "{}", server.log());
    let few = Prefix::new();
    few.write("conf/nginx.conf", "events { worker_connections 2; } http { server { listen 81; listen 82; } }");
    let said = String::from_utf8_lossy(&few.run(&["-t"]).stderr).into_owned();
    assert!(said.contains("[emerg] 2 worker_connections are not enough for 2 listening sockets\n"), "{said}");
}

/// What Lua opens counts, too: beyond `worker_connections` there is no more to be had, and what is closed can be had again.
#[test]
fn sockets_of_lua_are_limited() {
    let peer = Peer::start();
    let http = r#"lua_socket_log_errors off; server { listen 127.0.0.1:PORT;
        location /sockets { content_by_lua_block {
            local held, udp = {}, ngx.var.arg_udp
            for i = 1, 7 do
                local s = udp and ngx.socket.udp() or ngx.socket.tcp()
                local ok, err = s[udp and "setpeername" or "connect"](s, "127.0.0.1", PEER)
                ngx.print(ok or err, " ")
                held[i] = ok and s
            end
            for _, s in pairs(held) do if s then s:close() end end
        } }
        location /pool { content_by_lua_block {
            for i = 1, 7 do
                local s = ngx.socket.tcp()
                local ok, err = s:connect("127.0.0.1", PEER, { pool = "p" .. i })
                ngx.print(ok and s:setkeepalive(0) or err, " ")
            end
        } } }"#
        .replace("PEER", &peer.tcp.to_string());
    // One listens, one is for the parent, one asks, and five are left.
    let conf = format!(
        "daemon off; user root; pid logs/nginx.pid; error_log logs/error.log info; events {{ worker_connections 8; }} http {{ {http} }}"
    );
    let server = Server::with_conf(&conf, &[], &[]);
    let some = "1 1 1 1 1 error error ";
    for path in ["/sockets", "/sockets?udp=1", "/sockets"] {
        assert_eq!(server.body(path), some, "{path}\n{}", server.log());
    }
    assert_eq!(server.log().matches("[alert]").count(), 6, "{}", server.log());
    let line =
        "8 worker_connections are not enough, client: 127.0.0.1, server: , request: \"GET /sockets?udp=1 HTTP/1.0\"";
    assert!(server.log().contains(line), "{}", server.log());
    // Connections that wait in a pool keep their places.
    assert_eq!(server.body("/pool"), some);
    assert_eq!(server.body("/sockets"), "error ".repeat(7));
}

/// WINCH lets a daemon's server go with its last request; the parent stays, and HUP brings another.
#[test]
fn winch_rests_until_hup() {
    let (prefix, port) = (Prefix::new(), free_port());
    let http = ECHO.replace("PORT", &port.to_string());
    prefix.write(
        "conf/nginx.conf",
        &format!("pid logs/nginx.pid; error_log logs/error.log notice; events {{}} http {{ {http} }}"),
    );
    assert!(prefix.command(&[]).status().unwrap().success());
    let pid = prefix.read("logs/nginx.pid").trim().parse().unwrap();
    let kill = |name: &str| signal(pid, name);
    kill("WINCH");
    until("the server is gone", || prefix.read("logs/error.log").contains("exited with code 0"));
    let line = format!("signal 28 (SIGWINCH) received from {}, stop accepting connections\n", std::process::id());
    assert!(prefix.read("logs/error.log").contains(&line));
    kill("HUP");
    let answered = || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).is_ok() && text.ends_with("one")
    };
    until("another serves", answered);
    kill("QUIT");
    until("the pid file is gone", || prefix.read("logs/nginx.pid").is_empty());
}

/// The server's signals are blocked in its threads; the programs that Lua starts have theirs.
#[test]
fn started_programs_have_all_signals() {
    let http = r#"server { listen 127.0.0.1:PORT; location / { content_by_lua_block {
        for line in io.lines("/proc/thread-self/status") do if line:find("^SigBlk") then ngx.say(line) end end
        local command = "grep SigBlk /proc/self/status"
        ngx.print(io.popen(command):read("*a"))
        ngx.print(require("ngx.pipe").spawn(command):stdout_read_all())
    } } }"#;
    let server = Server::start(http, &[]);
    let body = server.body("/");
    let lines: Vec<&str> = body.lines().collect();
    assert!(lines.len() == 3 && lines[0] != lines[1], "{body}");
    assert_eq!(lines[1..], ["SigBlk:\t0000000000000000"; 2]);
}

/// A stop reaches the server that only finishes its requests, too.
#[test]
fn a_predecessor_ends_with_the_others() {
    let http = r#"server { listen 127.0.0.1:PORT; location / { return 200 $pid; }
        location /wait { content_by_lua_block { ngx.log(ngx.ERR, "begun") ngx.sleep(600) } } }"#;
    let mut server = Server::start(http, &[]);
    let first = serving(&server);
    let mut client = Client::new(server.port);
    client.send("/wait");
    until("it begins", || server.log().contains("begun"));
    // (other limits: another process)
    let conf = server.prefix.read("conf/nginx.conf");
    server.prefix.write("conf/nginx.conf", &format!("worker_rlimit_nofile 777; {conf}"));
    server.signal("HUP");
    until("another process", || ![0, first].contains(&serving(&server)));
    assert!(std::path::Path::new(&format!("/proc/{first}")).exists());
    server.signal("TERM");
    assert!(server.ended());
    until("the predecessor's end", || !std::path::Path::new(&format!("/proc/{first}")).exists());
    assert!(server.log().contains(&format!("worker process {first} exited with code 0")), "{}", server.log());
}
