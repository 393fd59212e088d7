#!/bin/sh
# What a light thread costs in memory: THREADS of one request sleep, and then each makes one exchange over a loopback connection of
# its own with a second server. Prints the bytes of the process per thread, the kernel's sockets not counted.
#   threads.sh BINARY [THREADS] [PORT]
set -eu
binary=$1 threads=${2:-20000} port=${3:-18310} peer=$((${3:-18310} + 1))
here=$(mktemp -d)
trap 'kill $server $other 2>/dev/null; rm -rf "$here"' EXIT
mkdir -p "$here/a/conf" "$here/a/logs" "$here/b/conf" "$here/b/logs"
main="daemon off; worker_processes 1; worker_rlimit_nofile 65536; pid logs/pid; error_log logs/error.log error; events { worker_connections 65536; }"
cat > "$here/b/conf/nginx.conf" <<CONF
$main http { access_log off; server { listen 127.0.0.1:$peer backlog=32768; location / { return 200 pong; } } }
CONF
cat > "$here/a/conf/nginx.conf" <<CONF
$main http { access_log off; lua_socket_log_errors off; lua_socket_connect_timeout 60s; lua_socket_read_timeout 60s;
server { listen 127.0.0.1:$port; location /one { return 200 one; } location /run { content_by_lua_block {
    local threads, asleep, most, good = {}, 0, 0, 0
    local function rss() for line in io.lines("/proc/self/status") do local n = line:match("^VmRSS:%s+(%d+)") if n then return n * 1024 end end end
    collectgarbage() collectgarbage()
    local before = rss()
    for i = 1, $threads do
        threads[i] = ngx.thread.spawn(function()
            ngx.sleep(2 + i / 10000)
            local sock = ngx.socket.tcp()
            local ok, err = sock:connect("127.0.0.1", $peer)
            if ok then sock:send("GET / HTTP/1.0\r\n\r\n") ok = sock:receive("*a") sock:close() end
            if ok then good = good + 1 end
        end)
    end
    local asleep = rss()
    local watch = ngx.thread.spawn(function() while good < $threads and most >= 0 do most = math.max(most, rss()) ngx.sleep(0.05) end end)
    for i = 1, #threads do ngx.thread.wait(threads[i]) end
    ngx.say(("%d of %d exchanged; asleep %d bytes a thread, at most %d"):format(good, $threads, (asleep - before) / $threads, (math.max(most, asleep) - before) / $threads))
    most = -1
} } } }
CONF
"$binary" -p "$here/b/" & other=$!
"$binary" -p "$here/a/" & server=$!
for i in 1 2 3 4 5 6 7 8 9 10; do curl -s -o /dev/null "http://127.0.0.1:$port/one" && break; sleep 0.2; done
curl -s -m 120 "http://127.0.0.1:$port/run" || true
cat "$here/a/logs/error.log" >&2
