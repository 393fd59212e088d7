//! Reloads under load: clients notice nothing, and nothing is left of the configurations before.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::load::Client;
use crate::support::status::Status;
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
                let (mut before, mut client) = (Instant::now(), Client::new(server.port));
                while !done.load(Ordering::Relaxed) {
                    let now = Instant::now();
                    let sent = client.try_send("/");
                    let pause = before.elapsed();
                    let Some((status, body)) = sent.ok().and_then(|()| client.answer_or_end()) else {
                        // A worker that quits closes what has been idle for 200 ms. (This thread had to wait for its turn.)
                        assert!(pause > Duration::from_millis(100), "no answer {pause:?} after the request before");
                        (before, client) = (Instant::now(), Client::new(server.port));
                        continue;
                    };
                    assert!(status == 200 && body.starts_with("1000000 conf-"), "{status} {body}");
                    asked.fetch_add(1, Ordering::Relaxed);
                    before = now;
                    // (a worker that quits says so with its last answer)
                    if client.closing {
                        (before, client) = (Instant::now(), Client::new(server.port));
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
    // (each machine that stayed would hold its `big`: sixteen megabytes by now)
    until("their memory is given back", || threads_and_memory(&pid).1 <= halfway.1 + 8 * 1024);
    assert!(!server.log().contains("[alert]") && !server.log().contains("[emerg]"), "{}", server.log());
    assert!(asked.load(Ordering::Relaxed) > 600);
}

/// What each configuration's threads have allocated (workers, a thread pool's, the one that checks a password) is there for the next one's.
#[test]
fn reloads_leave_no_memory_behind() {
    // (`secret`, with few rounds)
    let hash = "secret:$5$rounds=1000$salt$1234567890123456789012345678901234567890123";
    let server = Server::with_main(
        "worker_processes 2; thread_pool pool threads=1;",
        "lua_package_path '${prefix}?.lua;;'; init_worker_by_lua_block { kept = {} for i = 1, 1000 do kept[i] = { i } end }
        server { listen 127.0.0.1:PORT;
            location = /status { perilune_status; }
            location = /pool { content_by_lua_block { ngx.say(ngx.run_worker_thread('pool', 'm', 'count')) } }
            location = /secret { auth_basic s; auth_basic_user_file ${prefix}users; content_by_lua_block {} } }",
        &[("m.lua", "return { count = function() return 1 end }"), ("users", hash)],
    );
    let generations = |status: &Status| status.count("exiting");
    let reload = |round: u64| {
        assert_eq!(server.body("/pool"), "true1\n");
        let asked = b"GET /secret HTTP/1.0\r\nAuthorization: Basic c2VjcmV0OnNlY3JldA==\r\n\r\n";
        assert!(server.raw(asked).starts_with("HTTP/1.1 401 "));
        server.signal("HUP");
        let only_new = |status: &Status| generations(status) == 2 && status.latest("exiting") == round + 1;
        Status::until(&server, only_new).server("heap_reserved_bytes")
    };
    let early = (1..=30).map(&reload).max();
    let late = (31..=200).map(&reload).max();
    // (what two at once need differs a little from time to time)
    let some = 4 * 64 * 1024;
    assert!(late <= early.map(|bytes| bytes + some), "{late:?} bytes, {early:?} before");
}
