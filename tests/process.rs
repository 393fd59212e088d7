//! The process: detaching, signals, pid file, addresses in use.

use std::time::{Duration, Instant};

use crate::support::{Prefix, Server, free_port};

fn wait_for(what: &str, test: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !test() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

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
    wait_for("the pid file is gone", || prefix.read("logs/nginx.pid").is_empty());
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
    wait_for("the new configuration", || server.body("/") == "two");
    server.prefix.write("conf/nginx.conf", "nonsense;");
    server.signal("HUP");
    wait_for("the complaint", || server.log().contains("[emerg]"));
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
    wait_for("a new file", || server.prefix.0.join("logs/a.log").exists());
    server.body("/x");
    wait_for("the line", || server.prefix.read("logs/a.log").contains("GET /x HTTP/1.0"));
}

#[test]
fn other_signals_are_noted_only() {
    let server = Server::start(ECHO, &[]);
    for (signal, line) in [
        ("ALRM", "signal 14 (SIGALRM) received"),
        ("IO", "signal 29 (SIGIO) received"),
        ("USR2", "signal 12 (SIGUSR2) received, ignoring"),
        ("WINCH", "signal 28 (SIGWINCH) received, ignoring"),
    ] {
        server.signal(signal);
        wait_for(signal, || server.log().contains(line));
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
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        std::thread::sleep(Duration::from_millis(150));
        server.signal("QUIT");
        asking.join().unwrap()
    });
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
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..20 {
        assert_eq!(server.body("/"), "1", "{}", server.log());
    }
}
