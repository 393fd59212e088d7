//! The libraries that ship with the program: resty.lrucache, resty.lock, resty.worker.events.

use std::time::{Duration, Instant};

use crate::support::load::Client;
use crate::support::{PATIENCE, Server, until};

/// Snippets, each a request of its own, and what each prints.
fn check(rows: &[(&str, &str)]) {
    let locations: String = rows
        .iter()
        .enumerate()
        .map(|(at, (code, _))| format!("location = /{at} {{ content_by_lua_block {{ {code} }} }}\n"))
        .collect();
    let http = format!("lua_shared_dict d 1m; server {{ listen 127.0.0.1:PORT; {locations} }}");
    let server = Server::with_main("worker_processes 1;", &http, &[]);
    let mut client = Client::new(server.port);
    for (at, (code, expected)) in rows.iter().enumerate() {
        client.send(&format!("/{at}"));
        assert_eq!(client.answer().1, *expected, "{code}\n{}", server.log());
    }
}

#[test]
fn lrucache() {
    const NEW: &str = "local c = require('resty.lrucache').new(2) ";
    let new = |code: &str| format!("{NEW}{code}");
    let rows = [
        ("ngx.say(require('resty.lrucache').new(0))".into(), "nilsize too small\n"),
        (new("c:set('a', 1) c:set('b', { 2 }) ngx.say(c:get('a'), c:get('b')[1], c:get('none'))"), "12nil\n"),
        (new("c:set('a', 1) ngx.say(c:get('a')) c:set('a', 2, nil, 7) ngx.say(c:get('a'))"), "1nil0\n2nil7\n"),
        // The least recently used one goes; a get is a use.
        (
            new("c:set('a', 1) c:set('b', 2) c:get('a') c:set('c', 3) ngx.say((c:get('a')), (c:get('b')), (c:get('c')))"),
            "1nil3\n",
        ),
        (
            new("c:set('a', 1, 0.001, 5) ngx.sleep(0.01) ngx.say(c:get('a')) c:set('a', 2, 10) ngx.say(c:get('a'))"),
            "nil15\n2nil0\n",
        ),
        (
            new("c:set('a', 1) ngx.say(c:delete('a'), c:delete('a'), (c:get('a'))) c:set('b', 1) c:set('c', 1) ngx.say(c:count())"),
            "truefalsenil\n2\n",
        ),
        (
            new("c:set('a', 1) c:set('b', 2) c:set('c', 3) ngx.say(c:count(), c:capacity(), table.concat(c:get_keys(), ',')) \
                 local t = { 1, 2, 3 } c:get_keys(1, t) ngx.say(t[1], t[2])"),
            "22c,b\ncnil\n",
        ),
        (
            new("c:set('a', 1) c:set('b', 2) c:flush_all() ngx.say(c:count(), (c:get('a')), #c:get_keys()) c:set('x', 1) c:set('y', 2) c:set('z', 3) \
                 ngx.say(table.concat(c:get_keys(), ','))"),
            "0nil0\nz,y\n",
        ),
        // Against a slow model, many times.
        (
            "local c, order, values = require('resty.lrucache').new(7), {}, {}
             local function use(k) for i, o in ipairs(order) do if o == k then table.remove(order, i) break end end table.insert(order, 1, k) end
             local seed = 1
             for round = 1, 5000 do
                 seed = (seed * 16807) % 2147483647
                 local k, what = seed % 12, seed % 5
                 if what < 2 then c:set(k, round) values[k] = round use(k)
                     if #order > 7 then values[table.remove(order)] = nil end
                 elseif what < 4 then if values[k] then use(k) end assert(c:get(k) == values[k])
                 else assert(c:delete(k) == (values[k] ~= nil)) values[k] = nil for i, o in ipairs(order) do if o == k then table.remove(order, i) end end end
                 assert(table.concat(c:get_keys(), ',') == table.concat(order, ','))
             end
             ngx.say(c:count() == #order)"
                .into(),
            "true\n",
        ),
    ];
    check(&rows.iter().map(|(code, expected)| (code.as_str(), *expected)).collect::<Vec<_>>());
}

#[test]
fn locks() {
    check(&[
        ("ngx.say(require('resty.lock'):new('none'))", "nildictionary not found\n"),
        (
            "local l = require('resty.lock'):new('d') ngx.say(l:lock('k'), ' ', ngx.shared.d:get('k')) ngx.say(l:lock('j')) \
             ngx.say(l:unlock(), ngx.shared.d:get('k')) ngx.say(l:unlock()) ngx.say(l:lock())",
            "0 true\nnillocked\n1nil\nnilunlocked\nnilnil key\n",
        ),
        // Whoever comes second waits in steps, and gives up in time.
        (
            "local lock = require('resty.lock') local a, b = lock:new('d'), lock:new('d', { step = 0.01, timeout = 0.03 }) \
             a:lock('k') ngx.say(b:lock('k')) \
             local t = ngx.thread.spawn(function() return lock:new('d', { step = 0.002, ratio = 1 }):lock('k') end) \
             a:unlock() local ok, waited = ngx.thread.wait(t) ngx.say(ok, ' ', waited)",
            "niltimeout\ntrue 0.002\n",
        ),
        ("ngx.shared.d:delete('k') ngx.say(require('resty.lock'):new('d', { timeout = 0 }):lock('k'))", "0\n"),
        ("ngx.say(require('resty.lock'):new('d', { timeout = 0 }):lock('k'))", "niltimeout\n"),
        (
            "local l = require('resty.lock'):new('d', { exptime = 40 }) l:lock('x') ngx.say(l:expire(80), ngx.shared.d:ttl('x') > 41) \
             ngx.say(require('resty.lock'):new('d', { timeout = 0 }):lock('x')) l:unlock() ngx.say(l:expire(1))",
            "truetrue\nniltimeout\nnilunlocked\n",
        ),
        // A lock that is forgotten is let go by the collector.
        (
            "do local l = require('resty.lock'):new('d') l:lock('g') end l = nil collectgarbage() collectgarbage() \
             ngx.say(ngx.shared.d:get('g'))",
            "nil\n",
        ),
    ]);
}

/// Two workers, both listening for events.
fn events() -> Server {
    let server = Server::with_main(
        "worker_processes 2;",
        "lua_shared_dict d 1m;
        init_worker_by_lua_block {
            local events = require 'resty.worker.events'
            local function seen(data, event, source, pid)
                ngx.shared.d:set('seen' .. ngx.shared.d:incr('n', 1, 0), ngx.worker.id() .. ' ' .. source .. ' ' .. event .. ' ' .. tostring(data) .. ' ' .. tostring(pid == ngx.worker.pid()))
            end
            events.register(seen, 's')
            events.register(function() error('on purpose') end, 's', 'bad')
            assert(events.configure { shm = 'd', interval = 0.5 })
            ngx.shared.d:incr('ready', 1, 0)
        }
        server {
            listen 127.0.0.1:PORT;
            location = /post { content_by_lua_block {
                local events = require 'resty.worker.events'
                local f = ngx.var.arg_local and events.post_local or events.post
                ngx.say(f('s', ngx.var.arg_e, ngx.var.arg_d, ngx.var.arg_unique))
            } }
            location = /ready { content_by_lua_block { ngx.print(ngx.shared.d:get('ready')) } }
            location = /seen { content_by_lua_block {
                local all = {}
                for i = 1, ngx.shared.d:get('n') or 0 do all[i] = ngx.shared.d:get('seen' .. i) or '' end
                table.sort(all)
                ngx.print(table.concat(all, '\\n'))
            } }
            location = /errors { content_by_lua_block {
                local e = require 'resty.worker.events'
                ngx.say(e.post('', 'x')) ngx.say(e.post('s')) ngx.say(e.post('s', 'e', print)) ngx.say(e.configure { shm = 'd' })
                ngx.say(pcall(e.configure)) ngx.say(pcall(e.register, 1)) ngx.say(e.unregister(print, 's', 'e'), ' ', e.configured())
                local list = e.event_list('src', 'one') ngx.say(list._source, ' ', list.one) ngx.say(pcall(function() return list.two end))
                local f = function() end ngx.say(e.register(f, 's', 'a', 'b'), e.unregister(f, 's', 'b', 'c'), e.unregister(f, 's', 'a'), e.unregister(f, 's', 'a'))
                local n = 0 local g = function(data) n = n + 1 ngx.say(e.poll()) end
                e.register_weak(g, 'w', 'x') e.post_local('w', 'x') ngx.say(e.poll(), n)
                g = nil collectgarbage() collectgarbage() e.post_local('w', 'x') ngx.say(e.poll(), n)
            } }
        }",
        &[],
    );
    in_time(|| server.body("/ready") == "2", &server);
    server
}

fn sees(server: &Server, expected: &str) {
    in_time(|| server.body("/seen") == expected, server);
}

fn in_time(so: impl Fn() -> bool, server: &Server) {
    let since = Instant::now();
    while !so() {
        assert!(since.elapsed() < PATIENCE, "{}\n{}", server.body("/seen"), server.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn events_reach_every_worker() {
    let server = events();
    assert_eq!(server.body("/post?e=one&d=x"), "true\n");
    sees(&server, "0 s one x true\n1 s one x true");
    // One of them only, and this one only.
    assert_eq!(server.body("/post?e=only&d=y&unique=u1"), "true\n");
    assert_eq!(server.body("/post?e=here&local=1"), "true\n");
    let so = |seen: &str| seen.matches("only").count() == 1 && seen.matches("here").count() == 1;
    in_time(|| so(&server.body("/seen")), &server);
    // A handler that fails is logged, and the others are called.
    assert_eq!(server.body("/post?e=bad&d=z"), "true\n");
    let failed = "worker-events: event callback failed; source=s, event=bad";
    in_time(|| server.log().matches(failed).count() == 2, &server);
    assert_eq!(server.body("/seen").matches("s bad z").count(), 2);
    assert!(so(&server.body("/seen")));
    assert_eq!(
        server.body("/errors"),
        "nilsource is required\nnilevent is required\nnilfailed posting event \"e\" by \"s\"; Cannot serialise function: type not supported\n\
         nilAlready started, cannot change shm\nfalseExpected a table, got nil\nfalseexpected function, got: number\nfalse true\n\
         src src:one\nfalsecontent_by_lua(nginx.conf:29):5: event 'two' is an unknown event\ntruetruetruefalse\n\
         recursive\ndone1\ndone1\n"
    );
}

#[test]
fn events_go_on_over_a_reload_and_end_with_the_worker() {
    let mut server = events();
    server.signal("HUP");
    in_time(|| server.log().contains("gracefully shutting down"), &server);
    until("the new workers' events", || {
        server.body("/post?e=again");
        server.body("/seen").matches("again").count() > 6
    });
    server.signal("QUIT");
    assert!(server.ended(), "{}", server.log());
    assert!(!server.log().contains("[error]"), "{}", server.log());
}

/// A thousand events from both workers at once: each worker handles all of them, in one order.
#[test]
fn events_have_one_order() {
    let server = Server::with_main(
        "worker_processes 2;",
        "lua_shared_dict d 4m;
        init_worker_by_lua_block {
            local events = require 'resty.worker.events'
            local all = {}
            events.register(function(data)
                all[#all + 1] = data
                if #all >= 500 then ngx.shared.d:set('order' .. ngx.worker.id(), table.concat(all, ' ')) end
            end, 's')
            assert(events.configure { shm = 'd' })
            ngx.timer.at(0, function()
                for i = 1, 500 do assert(events.post('s', 'e', ngx.worker.id() .. '-' .. i)) if i % 50 == 0 then ngx.sleep(0) end end
            end)
        }
        server { listen 127.0.0.1:PORT; location = /order { content_by_lua_block {
            local d = ngx.shared.d
            local a, b = d:get('order0') or '', d:get('order1') or ''
            local _, spaces = (#a > #b and a or b):gsub(' ', '')
            -- (the worker that began first has what it posted before the other listened)
            ngx.say(spaces == 999 and (a:sub(-#b) == b or b:sub(-#a) == a) and 'same' or spaces .. ' ' .. #a .. ' ' .. #b)
        } } }",
        &[],
    );
    in_time(|| server.body("/order") == "same\n", &server);
}

/// What it runs on is no timer of anybody's.
#[test]
fn events_take_no_timer() {
    let server = Server::with_main(
        "worker_processes 1;",
        "lua_shared_dict d 1m; lua_max_running_timers 1;
        init_worker_by_lua_block {
            local events = require 'resty.worker.events'
            events.register(function(data) ngx.shared.d:set('seen', data) end, 's')
            assert(events.configure { shm = 'd' })
        }
        server { listen 127.0.0.1:PORT; location = /t { content_by_lua_block {
            ngx.print(ngx.timer.running_count(), ngx.timer.pending_count())
            ngx.timer.at(0, function() require('resty.worker.events').post('s', 'e', 'ran') end)
            for i = 1, 5000 do if ngx.shared.d:get('seen') then break end ngx.sleep(0.001) end
            ngx.say(ngx.shared.d:get('seen'))
        } } }",
        &[],
    );
    assert_eq!(server.body("/t"), "00ran\n", "{}", server.log());
}
