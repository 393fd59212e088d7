//! Shared dictionaries by script: one operation a line, one line of outcome each.
//!
//! `@MS` sets the clock; values are numbers, `true`, `nil` or text; `*N` is a text of N bytes.

use super::*;

fn value(word: &str) -> Value {
    match word {
        "nil" => Value::Nil,
        "true" | "false" => Value::Bool(word == "true"),
        _ => match (word.strip_prefix('*'), word.parse::<f64>()) {
            (Some(n), _) => Value::Bytes(vec![b'x'; n.parse().unwrap()].into()),
            (_, Ok(number)) => Value::Number(number),
            _ => Value::Bytes(word.as_bytes().into()),
        },
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Nil => "nil".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::Bytes(b) if b.len() > 20 => format!("*{}", b.len()),
        Value::Bytes(b) => String::from_utf8_lossy(b).into_owned(),
    }
}

fn run(zone: &Zone, script: &str) -> String {
    let mut now = 1000;
    let mut out = Vec::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let arg = |i: usize| words.get(i).copied().unwrap_or("");
        let number = |i: usize| arg(i).parse::<u64>().unwrap_or(0);
        let key = arg(1).as_bytes();
        let or_error = |result: Result<String, Error>| result.unwrap_or_else(|error| error.to_string());
        let stored = |mode| {
            let stored = zone.store(mode, key, value(arg(2)), number(3), number(4) as u32, now);
            let words = or_error(stored.result.map(|()| "ok".into()));
            if stored.forcible { format!("{words} forcible") } else { words }
        };
        out.push(match words[0] {
            "set" => stored(Mode::Set),
            "safe_set" => stored(Mode::SafeSet),
            "add" => stored(Mode::Add),
            "safe_add" => stored(Mode::SafeAdd),
            "replace" => stored(Mode::Replace),
            "get" => or_error(zone.get(key, now).map(|(value, flags)| format!("{} {flags}", show(&value)))),
            "get_stale" => or_error(zone.get_stale(key, now).map(|(v, f, stale)| format!("{} {f} {stale}", show(&v)))),
            "delete" => or_error(zone.delete(key, now).map(|()| "ok".into())),
            "incr" => {
                let init = (words.len() > 3).then(|| (arg(3).parse().unwrap(), number(4)));
                or_error(zone.incr(key, arg(2).parse().unwrap(), init, now).0.map(|n| n.to_string()))
            }
            "lpush" => or_error(zone.push(End::Left, key, value(arg(2)), now).map(|n| n.to_string())),
            "rpush" => or_error(zone.push(End::Right, key, value(arg(2)), now).map(|n| n.to_string())),
            "lpop" => or_error(zone.pop(End::Left, key, now).map(|v| show(&v))),
            "rpop" => or_error(zone.pop(End::Right, key, now).map(|v| show(&v))),
            "llen" => or_error(zone.llen(key, now).map(|n| n.to_string())),
            "ttl" => or_error(zone.ttl(key, now).map(|n| n.to_string())),
            "expire" => or_error(zone.expire(key, number(2), now).map(|()| "ok".into())),
            "flush_all" => {
                zone.flush_all(now);
                "ok".into()
            }
            "flush_expired" => zone.flush_expired(number(1) as usize, now).to_string(),
            "keys" => {
                let keys = zone.keys(number(1) as usize, now);
                keys.iter().fold("keys:".to_owned(), |text, key| text + " " + &String::from_utf8_lossy(key))
            }
            "free" => zone.free_space().to_string(),
            clock => {
                now = clock.strip_prefix('@').unwrap().parse().unwrap();
                continue;
            }
        });
    }
    out.join("\n")
}

fn check(bytes: usize, script: &str, expected: &str) {
    let zone = Zone::new("dogs", bytes);
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(run(&zone, script), expected.join("\n"), "{script}");
}

#[test]
fn values_flags_and_types() {
    check(
        1 << 20,
        "set a 1
         get a
         set a blah 0 7
         get a
         set b true
         get b
         set a nil
         get a
         get missing
         keys",
        "ok
         1 0
         ok
         blah 7
         ok
         true 0
         ok
         nil 0
         nil 0
         keys: b",
    );
}

#[test]
fn add_and_replace() {
    check(
        1 << 20,
        "replace a 1
         add a 1
         add a 2
         replace a 3
         get a
         @5000
         set t 1 10
         @5020
         replace t 2
         add t 5
         get t
         add n nil",
        "not found
         ok
         exists
         ok
         3 0
         ok
         not found
         ok
         5 0
         attempt to add or replace nil values",
    );
}

#[test]
fn an_entry_ends_at_its_time() {
    check(
        1 << 20,
        "set warm 1
         set a 32 100 9
         ttl a
         @1099
         get a
         @1100
         set warm2 1
         get_stale a
         ttl a
         expire a 50
         get a
         ttl a
         expire a 0
         ttl a
         ttl none
         expire none 5",
        "ok
         ok
         100
         32 9
         ok
         32 9 true
         0
         ok
         32 9
         50
         ok
         0
         not found
         not found",
    );
}

#[test]
fn incr_counts() {
    check(
        1 << 20,
        "incr n 1
         incr n 1 10
         incr n 1 10
         incr n -0.5
         set s abc
         incr s 1
         set e 5 10
         @2000
         incr e 1
         incr e 1 0 500
         ttl e
         lpush l 1
         incr l 1",
        "not found
         11
         12
         11.5
         ok
         not a number
         ok
         not found
         1
         500
         1
         not a number",
    );
}

#[test]
fn lists() {
    check(
        1 << 20,
        "lpush l a
         rpush l 2
         lpush l c
         llen l
         get l
         rpop l
         lpop l
         lpop l
         lpop l
         llen l
         set s x
         lpush s 1
         lpop s
         llen s
         lpush l true
         lpush e 1
         expire e 10
         @3000
         rpush e 5
         llen e
         delete e
         llen e",
        "1
         2
         3
         3
         value is a list
         2
         c
         a
         nil
         0
         ok
         value not a list
         value not a list
         value not a list
         bad value type
         1
         ok
         1
         1
         ok
         0",
    );
}

#[test]
fn flushing() {
    check(
        1 << 20,
        "set a 1
         set b 1
         set c 1 10
         flush_all
         get b
         keys
         flush_expired
         set a 1 10
         set b 2 10
         set c 3
         @2000
         keys
         flush_expired 1
         flush_expired
         keys 1",
        "ok
         ok
         ok
         ok
         nil 0
         keys:
         0
         ok
         ok
         ok
         keys: c
         1
         1
         keys: c",
    );
}

#[test]
fn a_full_zone_evicts_its_coldest() {
    let zone = Zone::new("dogs", 100 * 1024);
    let mut first_forcible = None;
    for n in 0..2000 {
        let key = format!("key-{n:05}");
        let stored = zone.store(Mode::Set, key.as_bytes(), Value::Number(0.0), 0, 0, 1);
        assert_eq!(stored.result, Ok(()));
        if stored.forcible && first_forcible.is_none() {
            first_forcible = Some(n);
        }
    }
    // 24 pages: one for the zone's log text, the rest hold 32 entries of 128 bytes each, less the zone's header.
    assert_eq!(first_forcible, Some(23 * 32 - 1));
    assert_eq!(zone.get(b"key-00000", 1), Ok((Value::Nil, 0)));
    assert_eq!(zone.get(b"key-01999", 1), Ok((Value::Number(0.0), 0)));
    assert_eq!(zone.keys(0, 1).len(), 23 * 32 - 1);
}

#[test]
fn no_memory() {
    check(
        16 * 1024,
        "free
         set big *5000
         safe_set big *4000
         free
         safe_set other *4000
         set other *3000
         get big
         safe_add third *4000
         lpush l *4000
         llen l
         delete other
         free",
        "4096
         no memory
         ok
         0
         no memory
         ok forcible
         nil 0
         no memory
         no memory
         0
         ok
         4096",
    );
}

#[test]
fn keys_have_limits() {
    let zone = Zone::new("dogs", 1 << 20);
    assert_eq!(zone.store(Mode::Set, b"", Value::Nil, 0, 0, 1).result, Err(Error::EmptyKey));
    assert_eq!(zone.store(Mode::Set, &[b'x'; 65536], Value::Nil, 0, 0, 1).result, Err(Error::KeyTooLong));
    assert_eq!(zone.store(Mode::Set, &[b'x'; 65535], Value::Bool(true), 0, 0, 1).result, Ok(()));
}

#[test]
fn workers_share_it() {
    let zone = Zone::new("dogs", 1 << 20);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    zone.incr(b"hits", 1.0, Some((0.0, 0)), 1).0.unwrap();
                }
            });
        }
    });
    assert_eq!(zone.get(b"hits", 1), Ok((Value::Number(4000.0), 0)));
}

/// Four threads do everything at once to zones that are large enough, and too small; afterwards the sums are right and all room is
/// free again.
#[test]
fn threads_at_once_lose_nothing() {
    for bytes in [1 << 22, 1 << 15] {
        let zone = Zone::new("dogs", bytes);
        let large = bytes > 1 << 20;
        let free = zone.free_space();
        let popped = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let (zone, popped) = (&zone, &popped);
                scope.spawn(move || {
                    let mut seed = thread + 1;
                    for round in 0..5000u64 {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        let (pick, key) = (seed >> 40, format!("k{}", (seed >> 20) % 64));
                        let now = 1000 + round;
                        let _ = zone.incr(b"all", 1.0, Some((0.0, 0)), now);
                        let _ = zone.incr(format!("own{thread}").as_bytes(), 1.0, Some((0.0, 0)), now);
                        let value = Value::Bytes(vec![b'x'; (pick % 300) as usize].into());
                        match pick % 7 {
                            0 | 1 => drop(zone.store(Mode::Set, key.as_bytes(), value, pick % 50, 0, now)),
                            2 => drop(zone.store(Mode::SafeAdd, key.as_bytes(), value, 0, 7, now)),
                            3 => drop(zone.get_stale(key.as_bytes(), now)),
                            4 => drop(zone.delete(key.as_bytes(), now)),
                            5 => drop(zone.keys(8, now)),
                            _ => drop(zone.flush_expired(3, now)),
                        }
                        let _ = zone.push(End::Left, b"list", Value::Number(1.0), now);
                        if zone.pop(End::Right, b"list", now) == Ok(Value::Number(1.0)) {
                            popped.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        if large {
            assert_eq!(zone.get(b"all", 9999).unwrap().0, Value::Number(20_000.0));
            for thread in 0..4 {
                assert_eq!(zone.get(format!("own{thread}").as_bytes(), 9999).unwrap().0, Value::Number(5000.0));
            }
            assert_eq!(popped.into_inner() + zone.llen(b"list", 9999).unwrap(), 20_000);
        }
        zone.flush_all(9999);
        zone.flush_expired(0, 9999);
        assert!(zone.keys(0, 0).is_empty());
        // (a page may stay that holds slots of a size that was used)
        let left = free - zone.free_space();
        assert!(left <= 12 * 4096, "{left} bytes are still taken");
    }
}

/// The order of use is one for the whole zone, however its keys are spread.
#[test]
fn keys_come_in_the_order_of_their_use() {
    let zone = Zone::new("dogs", 1 << 20);
    let name = |n: u64| format!("key{n}");
    for n in 0..200 {
        let _ = zone.store(Mode::Set, name(n).as_bytes(), Value::Bool(true), 0, 0, 1);
    }
    let mut expected: Vec<u64> = (0..200).collect();
    for round in 0..1000u64 {
        let used = round * round * 31 % 200;
        let _ = match round % 3 {
            0 => zone.get(name(used).as_bytes(), 1).map(drop),
            1 => zone.store(Mode::Replace, name(used).as_bytes(), Value::Bool(false), 0, 0, 1).result,
            _ => zone.store(Mode::Set, name(used).as_bytes(), Value::Number(1.0), 0, 0, 1).result,
        };
        expected.retain(|n| *n != used);
        expected.push(used);
    }
    let keys: Vec<String> = zone.keys(0, 1).iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
    assert_eq!(keys, expected.into_iter().map(name).collect::<Vec<_>>());
}
