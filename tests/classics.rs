//! Programs that every OpenResty user has written once: threads, semaphores and timers together, with sockets in every leaf.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::support::Server;
use crate::support::load::Client;
use crate::support::status::Status;

fn start(lua: &str, http: &str) -> Server {
    Server::with_main(
        "worker_processes 1;",
        &format!(
            "lua_shared_dict d 100k; {http} server {{ listen 127.0.0.1:PORT;
            location = /t {{ content_by_lua_block {{ {lua} }} }}
            location = /echo {{ content_by_lua_block {{ ngx.sleep(0.001) ngx.print(ngx.var.arg_v) }} }}
            location = /status {{ perilune_status; }} }}"
        ),
        &[],
    )
}

/// What a program prints; afterwards nothing of it is left.
fn check(lua: &str, expected: &str) {
    let server = start(lua, "");
    let mut client = Client::new(server.port);
    client.send("/t");
    assert_eq!(client.answer(), (200, expected.to_string()), "{}", server.log());
    Status::until(&server, |status| status.worker("light_threads") == 0 && status.waits().is_empty());
    assert!(!server.log().contains("[error]"), "{}", server.log());
}

#[test]
fn producer_and_consumer_over_a_semaphore() {
    check(
        "local sema, queue, out = require('ngx.semaphore').new(), {}, {}
         local consumer = ngx.thread.spawn(function()
             while true do
                 assert(sema:wait(60))
                 local item = table.remove(queue, 1)
                 if item == 'end' then return #out end
                 out[#out + 1] = item
             end
         end)
         local producer = ngx.thread.spawn(function()
             for i = 1, 5 do queue[#queue + 1] = i sema:post() if i % 2 == 0 then ngx.sleep(0.001) end end
             queue[#queue + 1] = 'end' sema:post()
         end)
         assert(ngx.thread.wait(producer))
         local ok, n = ngx.thread.wait(consumer)
         ngx.say(ok, ' ', n, ': ', table.concat(out, ' '), ', ', sema:count(), ' left')",
        "true 5: 1 2 3 4 5, 0 left\n",
    );
}

#[test]
fn ten_threads_three_at_a_time() {
    check(
        "local sema = require('ngx.semaphore').new(3)
         local now, most, threads, order = 0, 0, {}, {}
         for i = 1, 10 do
             threads[i] = ngx.thread.spawn(function()
                 assert(sema:wait(60))
                 now = now + 1 most = math.max(most, now) order[#order + 1] = i
                 ngx.sleep(0.002)
                 now = now - 1
                 sema:post()
             end)
         end
         for i = 1, 10 do assert(ngx.thread.wait(threads[i])) end
         ngx.say('at most ', most, ', in order ', table.concat(order, ' '), ', free ', sema:count())",
        "at most 3, in order 1 2 3 4 5 6 7 8 9 10, free 3\n",
    );
}

const FETCH: &str = "local function fetch(v)
    local sock = ngx.socket.tcp()
    assert(sock:connect('127.0.0.1', ngx.var.server_port))
    assert(sock:send('GET /echo?v=' .. v .. ' HTTP/1.0\\r\\n\\r\\n'))
    local answer = assert(sock:receive('*a'))
    sock:close()
    return answer:match('\\r\\n\\r\\n(.*)$')
end ";

#[test]
fn two_fetches_at_once_and_the_first_of_two() {
    check(
        &format!(
            "{FETCH} local a, b = ngx.thread.spawn(fetch, 'one'), ngx.thread.spawn(fetch, 'two')
             local ok1, one = ngx.thread.wait(a)
             local ok2, two = ngx.thread.wait(b)
             ngx.say(ok1, ' ', one, ' ', ok2, ' ', two)
             local slow = ngx.thread.spawn(function() ngx.sleep(600) return 'slow' end)
             local fast = ngx.thread.spawn(fetch, 'fast')
             ngx.say(ngx.thread.wait(slow, fast))
             ngx.say(ngx.thread.kill(slow))"
        ),
        "true one true two\ntruefast\n1\n",
    );
}

#[test]
fn a_coroutine_tree_in_which_every_leaf_does_socket_io() {
    // Inner nodes are coroutines that resume their children, light threads that wait for theirs, iterators, metamethods and
    // protected calls by turns; every leaf fetches.
    check(
        &format!(
            "{FETCH} local node
             local kinds = {{
                 function(a, b) local co = coroutine.create(function() coroutine.yield(a()) return b() end)
                     local _, x = coroutine.resume(co) local _, y = coroutine.resume(co) return x .. y end,
                 function(a, b) local t, u = ngx.thread.spawn(a), ngx.thread.spawn(b)
                     local _, x = ngx.thread.wait(t) local _, y = ngx.thread.wait(u) return x .. y end,
                 function(a, b) local out = '' for leaf in coroutine.wrap(function() coroutine.yield(a()) coroutine.yield(b()) end) do out = out .. leaf end return out end,
                 function(a, b) local t = setmetatable({{}}, {{ __index = function(_, k) return k == 'a' and a() or b() end }}) return t.a .. t.b end,
                 function(a, b) local _, x = pcall(a) local _, y = xpcall(b, debug.traceback) return x .. y end,
                 function(a, b) return (('ab'):gsub('.', function(c) return c == 'a' and a() or b() end)) end,
             }}
             function node(depth, name)
                 if depth == 0 then return fetch(name) end
                 local kind = kinds[(depth + #name) % #kinds + 1]
                 return kind(function() return node(depth - 1, name .. '0') end, function() return node(depth - 1, name .. '1') .. '.' end)
             end
             for depth = 0, 4 do ngx.say(node(depth, '')) end"
        ),
        &(0..=4).map(|depth| tree(depth, String::new()) + "\n").collect::<String>(),
    );
}

/// The same tree without waiting.
fn tree(depth: usize, name: String) -> String {
    match depth {
        0 => name,
        _ => format!("{}{}.", tree(depth - 1, format!("{name}0")), tree(depth - 1, format!("{name}1"))),
    }
}

#[test]
fn a_sandboxed_function_sleeps() {
    check(
        "local said = {}
         local sandbox = { sleep = ngx.sleep, say = function(words) said[#said + 1] = words end, tostring = tostring }
         local f = assert(loadstring('sleep(0.001) say(tostring(ngx)) inside = true sleep(0) say(\"woke\") return inside'))
         setfenv(f, sandbox)
         local t = ngx.thread.spawn(f)
         ngx.say(ngx.thread.wait(t))
         ngx.say(table.concat(said, ' '), ' ', tostring(inside), ' ', tostring(sandbox.inside))",
        "truetrue\nnil woke nil true\n",
    );
}

#[test]
fn a_timer_every_cleans_up_on_exit() {
    let mut server = start(
        "ngx.say(n or 0)",
        "init_worker_by_lua_block {
            n = 0
            assert(ngx.timer.every(0.002, function(premature)
                if premature then
                    -- (waits even now, and starts what is due at once)
                    ngx.sleep(0.002)
                    local ok, err = ngx.timer.at(1, function() end)
                    ngx.log(ngx.NOTICE, 'cleaned up after ', n > 2, ', ', ok, ' ', err, ', exiting ', ngx.worker.exiting())
                    return
                end
                n = n + 1
            end))
            assert(ngx.timer.at(600, function(premature, what) ngx.log(ngx.NOTICE, what, ' ', premature) end, 'the long one'))
        }",
    );
    while server.body("/t").trim_end().parse::<u32>().unwrap() < 3 {}
    server.signal("QUIT");
    assert!(server.ended(), "{}", server.log());
    let log = server.log();
    assert_eq!(log.matches("cleaned up after true, nil process exiting, exiting true").count(), 1, "{log}");
    assert_eq!(log.matches("the long one true").count(), 1, "{log}");
}

/// More than any table of waits starts with: they all sleep, and each exchanges a line over a connection of its own.
#[test]
fn five_hundred_threads_of_one_request_sleep_and_talk() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // (all of them at once)
    rustix::net::listen(&listener, 1024).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            let mut line = [0; 4];
            if stream.read_exact(&mut line).is_ok() {
                let _ = stream.write_all(&line);
            }
        }
    });
    check(
        &format!(
            "local threads, sum = {{}}, 0
             for i = 1, 500 do
                 threads[i] = ngx.thread.spawn(function()
                     ngx.sleep(0.005)
                     local sock = ngx.socket.tcp()
                     assert(sock:connect('127.0.0.1', {port}))
                     assert(sock:send(('%03d\\n'):format(i)))
                     local line = assert(sock:receive())
                     sock:close()
                     return tonumber(line)
                 end)
             end
             for i = 1, 500 do local ok, n = ngx.thread.wait(threads[i]) sum = sum + n end
             ngx.say(sum)"
        ),
        &format!("{}\n", 500 * 501 / 2),
    );
}
