//! `perilune_status`: the page counts what goes on while it goes on, and is back where it was afterwards.

use crate::support::status::Status;
use crate::support::{Server, load::Client};

fn start() -> Server {
    Server::with_main(
        "worker_processes 1;",
        "lua_socket_log_errors off;
        server {
            listen 127.0.0.1:PORT;
            location = /status { perilune_status; }
            location = /go { content_by_lua_block { go = true ngx.say('gone') } }
            location = /threads { content_by_lua_block {
                local function wait() while not go do ngx.sleep(0.001) end end
                local a, b = ngx.thread.spawn(wait), ngx.thread.spawn(wait)
                ngx.thread.wait(a) ngx.thread.wait(b) ngx.say('done')
            } }
            location = /killed { content_by_lua_block {
                local sema = require('ngx.semaphore').new()
                local t = ngx.thread.spawn(function() sema:wait(600) end)
                while not go do ngx.sleep(0.001) end
                ngx.thread.kill(t) ngx.say('done')
            } }
            location = /left { content_by_lua_block {
                ngx.thread.spawn(function() ngx.sleep(600) end)
                while not go do ngx.sleep(0.001) end
                ngx.say('done') ngx.exit(200)
            } }
            location = /timer { content_by_lua_block {
                ngx.timer.at(0, function() while not go do ngx.sleep(0.001) end end)
                ngx.timer.at(0, function() error('on purpose') end)
                while not go do ngx.sleep(0.001) end
                ngx.say('done')
            } }
            location = /fails { content_by_lua_block { error('on purpose') } }
            location = /broken { content_by_lua_block { local x = = } }
        }",
        &[],
    )
}

#[test]
fn threads_waits_and_timers_are_counted_while_they_last() {
    for (path, threads, waits, timers) in [
        ("/threads", 3, [("sleep", 2), ("thread", 1)].as_slice(), 0),
        ("/killed", 2, &[("semaphore", 1), ("sleep", 1)], 0),
        ("/left", 2, &[("sleep", 2)], 0),
        ("/timer", 2, &[("sleep", 2)], 1),
    ] {
        let server = start();
        let mut client = Client::new(server.port);
        client.send(path);
        // (a sleep of a millisecond is over now and then)
        let expected = |status: &Status| {
            status.worker("light_threads") == threads
                && status.worker("timers_running") == timers
                && status.waits() == waits.iter().map(|(what, n)| (what.to_string(), *n)).collect::<Vec<_>>()
        };
        Status::until(&server, expected);
        assert_eq!(server.body("/go"), "gone\n");
        assert_eq!(client.answer(), (200, "done\n".into()), "{path}");
        Status::until(&server, |status| status.worker("light_threads") == 0 && status.waits().is_empty());
        assert_eq!(Status::of(&server).worker("timers_running"), 0);
    }
}

#[test]
fn failures_and_forms() {
    let server = start();
    for path in ["/go", "/fails", "/broken"] {
        server.get(path);
    }
    let text = server.get("/status");
    for line in [
        "Content-Type: text/plain; version=0.0.4\n",
        "perilune_scripts_run{worker=\"0\",generation=\"1\"} 3\n",
        "perilune_scripts_failed{worker=\"0\",generation=\"1\"} 2\n",
        "perilune_light_threads{worker=\"0\",generation=\"1\"} 0\n",
        "perilune_waits{worker=\"0\",generation=\"1\",what=\"semaphore\"} 0\n",
        "# TYPE perilune_requests counter\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let json = "GET /status HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAccept: application/json\r\n\r\n";
    let json = server.raw(json.as_bytes());
    assert!(json.contains("Content-Type: application/json\n"), "{json}");
    assert!(json.contains("\"worker\":0,\"generation\":1,\"scripts_run\":3,\"scripts_failed\":2,"), "{json}");
    assert!(server.get("/status?format=xml").starts_with("HTTP/1.1 400 "));
    assert!(server.raw(b"POST /status HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(Status::of(&server).worker("lua_heap_bytes") > 10_000);
}

/// `error_log memory:` keeps the latest lines for whoever asks.
#[test]
fn logs_in_memory() {
    let server = Server::with_main(
        "error_log memory:4k warn;",
        "server { listen 127.0.0.1:PORT; location = /status { perilune_status; }
            location = /t { error_log memory:8k debug; content_by_lua_block { for i = 1, 100 do ngx.log(ngx.DEBUG, 'line ', i) end } }
            location = /u { content_by_lua_block { ngx.log(ngx.WARN, 'kept') ngx.log(ngx.NOTICE, 'not kept') } } }",
        &[],
    );
    server.body("/u");
    server.body("/t");
    let kept = server.body("/status?format=log");
    assert_eq!((kept.matches(": kept, client").count(), kept.matches("not kept").count()), (1, 0), "{kept}");
    assert!(kept.contains("line 100, client") && !kept.contains("line 1, client"), "{kept}");
}
