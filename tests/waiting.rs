//! Waiting and computing requests share one worker: neither holds up the others.

use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::support::{Server, load::Client};

fn start(http: &str) -> Server {
    let conf = format!(
        "daemon off; worker_processes 1; pid logs/nginx.pid; error_log logs/error.log warn;
         events {{ worker_connections {}; }} http {{ {http} }}",
        open_files()
    );
    Server::with_conf(&conf, &[], &[])
}

/// How many files this program and the servers it starts may each have open: as many as the system lets us have.
fn open_files() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.current.unwrap_or(4096).min(4096)
}

#[test]
fn a_thousand_sleeping_requests_wait_at_once() {
    // (the other tests have files open, too)
    let count = usize::try_from(open_files() / 3).map_or(1000, |room| room.min(1000));
    if count < 1000 {
        eprintln!("no more than {count} requests, for want of file descriptors");
    }
    let server = start(
        &"init_by_lua_block { counts = { waiting = 0, most = 0 } }
        server {
            listen 127.0.0.1:PORT backlog=2048;
            location = /sleep { content_by_lua_block {
                counts.waiting = counts.waiting + 1
                -- Each sleeps until all of them are asleep: if one held up another, none would wake.
                counts.most = math.max(counts.most, counts.waiting)
                repeat ngx.sleep(0.1) until counts.most == COUNT
                counts.waiting = counts.waiting - 1
                ngx.say(counts.most)
            } }
            location = /waiting { content_by_lua_block { ngx.say(counts.waiting) } }
        }"
        .replace("COUNT", &count.to_string()),
    );
    let mut clients: Vec<Client> = (0..count).map(|_| Client::new(server.port)).collect();
    clients.iter_mut().for_each(|client| client.send("/sleep"));
    for client in &mut clients {
        assert_eq!(client.answer(), (200, format!("{count}\n")), "{}", server.log());
    }
    assert_eq!(server.body("/waiting"), "0\n");
    assert_eq!(server.log(), "");
}

#[test]
fn an_endless_loop_does_not_stop_the_others() {
    let server = start(
        "init_by_lua_block { loops = { stop = false, begun = 0 } }
        server {
            listen 127.0.0.1:PORT;
            location = /for-ever { content_by_lua_block { loops.begun = loops.begun + 1 while true do end } }
            location = /until-told { content_by_lua_block {
                loops.begun = loops.begun + 1
                while not loops.stop do end
                ngx.say('told')
            } }
            location = /begun { content_by_lua_block { ngx.say(loops.begun) } }
            location = /tell { content_by_lua_block { loops.stop = true ngx.say('ok') } }
        }",
    );
    let mut looping = ["/for-ever", "/until-told"].map(|path| {
        let mut client = Client::new(server.port);
        client.send(path);
        client
    });
    let mut other = Client::new(server.port);
    let mut ask = |path: &str, expected: &str| {
        other.send(path);
        assert_eq!(other.answer(), (200, expected.to_string()), "{path}\n{}", server.log());
    };
    while server.body("/begun") != "2\n" {}
    for _ in 0..100 {
        ask("/begun", "2\n");
    }
    // Both still loop, and one hundred others have been answered meanwhile.
    for client in &mut looping {
        assert!(client.silent_for(Duration::from_millis(1)));
    }
    ask("/tell", "ok\n");
    assert_eq!(looping[1].answer(), (200, "told\n".to_string()));
    assert!(looping[0].silent_for(Duration::from_millis(1)));
    ask("/begun", "2\n");
}

/// As in nginx a sleep is over when `ngx.now` shows that its time has passed.
#[test]
fn the_time_that_lua_sees() {
    let server = start(
        "server { listen 127.0.0.1:PORT; location / { content_by_lua_block {
            local ms = function() return math.floor(ngx.now() * 1000 + 0.5) end
            for _, wait in ipairs({ 1, 2, 7, 20 }) do
                local before = ms()
                ngx.sleep(wait / 1000)
                ngx.say(ms() - before >= wait)
            end
            -- A limit that is set anew in the same turn is not over in it: others have theirs.
            local turns = 0
            local other = ngx.thread.spawn(function() for i = 1, 5 do ngx.sleep(0.001) turns = turns + 1 end end)
            local semaphore = require('ngx.semaphore').new()
            local waits = 0
            while turns < 5 and waits < 1000 do semaphore:wait(0.001) waits = waits + 1 end
            ngx.say(turns)
        } } }",
    );
    assert_eq!(server.body("/"), "true\n".repeat(4) + "5\n", "{}", server.log());
}
