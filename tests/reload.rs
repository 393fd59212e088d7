//! Reloads under load: clients notice nothing, and nothing is left of the configurations before.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::load::Client;
use crate::support::{Server, until};

const HTTP: &str = r#"keepalive_requests 1000000; lua_shared_dict kept 100k;
    init_by_lua_block { big = ("x"):rep(1000000) }
    server { listen 127.0.0.1:PORT;
        location /pid { return 200 $pid; }
        location / { content_by_lua_block { ngx.print(ngx.shared.kept:incr("n", 1, 0) and #big, " conf-0") } } }"#;

/// Threads of a process, and the memory it alone holds in KiB (0 where the kernel does not tell).
fn threads_and_memory(pid: &str) -> (usize, usize) {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    let kib = private.map(|line| line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()).sum();
    (threads, kib)
}

#[test]
fn reloads_under_load_fail_no_request() {
    let server = Server::with_main("worker_processes 2;", HTTP, &[]);
    let conf = server.prefix.read("conf/nginx.conf");
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let pid = server.body("/pid");
    let mut halfway = (0, 0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::new(server.port);
                while !done.load(Ordering::Relaxed) {
                    client.send("/");
                    let (status, body) = client.answer();
                    assert!(status == 200 && body.starts_with("1000000 conf-"), "{status} {body}");
                    asked.fetch_add(1, Ordering::Relaxed);
                    // (a worker that quits says so with its last answer)
                    if client.closing {
                        client = Client::new(server.port);
                    }
                }
            });
        }
        for round in 1..=16 {
            let seen = asked.load(Ordering::Relaxed);
            server.prefix.write("conf/nginx.conf", &conf.replace("conf-0", &format!("conf-{round}")));
            server.signal("HUP");
            let wanted = format!("1000000 conf-{round}");
            while server.body("/") != wanted || asked.load(Ordering::Relaxed) < seen + 50 {
                std::thread::sleep(Duration::from_millis(5));
            }
            if round == 8 {
                halfway = threads_and_memory(&pid);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(server.body("/pid"), pid, "one process all the while\n{}", server.log());
    // The last of the old workers go once their clients have gone.
    let fresh = 1 + 2;
    until("the old workers go", || threads_and_memory(&pid).0 <= fresh);
    until("their memory is given back", || threads_and_memory(&pid).1 <= halfway.1 + halfway.1 / 4);
    assert!(!server.log().contains("[alert]") && !server.log().contains("[emerg]"), "{}", server.log());
    assert!(asked.load(Ordering::Relaxed) > 600);
}
