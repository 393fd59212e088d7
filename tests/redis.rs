//! examples/redis as it is, but for its two ports: an unmodified lua-resty-redis against a real Redis.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::redis::{RESTY_REDIS, Redis};
use crate::support::{Server, load};

const CONF: &str = include_str!("../examples/redis/conf/nginx.conf");

fn start(redis: &Redis) -> Server {
    let resty = std::fs::read_to_string(RESTY_REDIS).unwrap();
    let conf = CONF.replace("6379", &redis.port.to_string()).replace(":8080", ":PORT");
    Server::with_conf(&conf, &[("lualib/resty/redis.lua", &resty)], &["-g", "daemon off;"])
}

#[test]
fn every_location_of_the_example() {
    let Some(redis) = Redis::start() else { return };
    let server = start(&redis);
    let mut client = load::Client::new(server.port);
    let cases = [
        ("/set?key=a&value=1", 200, "OK\n"),
        ("/get?key=a", 200, "1\n"),
        ("/get?key=none", 404, ""),
        ("/pipeline", 200, "1 2 3\n"),
        ("/reused", 200, "4\n"),
        ("/reused", 200, "5\n"),
    ];
    for (path, status, body) in cases {
        client.send(path);
        let answer = client.answer();
        assert_eq!((answer.0, if status == 404 { "" } else { &answer.1 }), (status, body), "{path}\n{}", server.log());
    }
    assert_eq!(server.log(), "");
}

#[test]
fn twenty_thousand_requests_reuse_their_connections() {
    const CONNECTIONS: usize = 64;
    const REQUESTS: usize = 20_000;
    let Some(redis) = Redis::start() else { return };
    let server = start(&redis);
    let before = redis.info("total_connections_received");
    let (asked, reused, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let most = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let (mut most, mut looks) = (0, 0);
            loop {
                // (the last look is after the end, when the connections still wait for their next users)
                let last = done.load(Ordering::Relaxed);
                // (without the connection that asks)
                most = most.max(redis.info("connected_clients") - 1);
                looks += 1;
                if last {
                    return (most, looks);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let path = |connection, number| match number % 4 {
            0 => format!("/set?key=k{connection}&value=v{number}"),
            1 => format!("/get?key=k{connection}"),
            2 => "/pipeline".to_string(),
            _ => "/reused".to_string(),
        };
        load::run(server.port, CONNECTIONS, REQUESTS, path, |path, status, body| {
            assert_eq!(status, 200, "{path}: {body}\n{}", server.log());
            match path.split('?').next() {
                Some("/set") => assert_eq!(body, "OK\n"),
                Some("/get") => assert!(body.starts_with('v'), "{body}"),
                // One key for all: Redis runs what came in one piece without looking at others.
                Some("/pipeline") => assert_eq!(body, "1 2 3\n"),
                _ => {
                    asked.fetch_add(1, Ordering::Relaxed);
                    reused.fetch_add(usize::from(body != "0\n"), Ordering::Relaxed);
                }
            }
        });
        done.store(true, Ordering::Relaxed);
        watching.join().unwrap()
    });
    let (asked, reused) = (asked.into_inner(), reused.into_inner());
    assert!(asked * 5 > REQUESTS && reused * 100 > asked * 95, "{reused} of {asked} were used before");
    // The same from Redis's side, over all requests; each look was a connection, too.
    let opened = redis.info("total_connections_received") - before - most.1 - 1;
    assert!(opened * 100 < REQUESTS * 5, "{opened} connections for {REQUESTS} requests");
    assert!((1..=CONNECTIONS).contains(&most.0), "{} connections were open at once", most.0);
    assert!(redis.info("connected_clients") - 1 <= CONNECTIONS);
    assert_eq!(server.log(), "");
}
