#!/bin/bash
# idle-cpu.sh PERILUNE [IDLE [ACTIVE [SECONDS]]]: the server's CPU time per request with IDLE idle keep-alive connections beside
# ACTIVE busy ones, and without them. Loopback only; needs wrk and python3. Rounds alternate; figures are microseconds.
set -eu
PERILUNE=$1 IDLE=${2:-10000} ACTIVE=${3:-500} SECS=${4:-4} PORT=${PORT:-18790}
W=$(mktemp -d); mkdir -p "$W"/{conf,logs}; chmod -R a+rwX "$W"
ulimit -n "$(ulimit -Hn)"
cat > "$W/conf/nginx.conf" <<EOF
daemon off; worker_processes 1; worker_rlimit_nofile 30000; pid logs/nginx.pid; error_log logs/error.log warn;
events { worker_connections 20000; }
http { access_log off; keepalive_timeout 600s; keepalive_requests 1000000000;
    server { listen 127.0.0.1:$PORT backlog=8192; location / { content_by_lua_block { ngx.say("hello") } } location /pid { return 200 \$pid; } } }
EOF
"$PERILUNE" -p "$W/" & PARENT=$!; IDLERS=
trap 'kill $PARENT $IDLERS 2>/dev/null; wait 2>/dev/null; rm -rf "$W"' EXIT
sleep 1; PID=$(python3 -c "import urllib.request as u; print(u.urlopen('http://127.0.0.1:$PORT/pid').read().decode())")
cpu() { cat /proc/"$PID"/task/*/schedstat | awk '{t += $1} END {printf "%.0f\n", t}'; }
round() {
    local before after requests
    before=$(cpu)
    requests=$(wrk -t1 -c"$ACTIVE" -d"${SECS}s" "http://127.0.0.1:$PORT/" | awk '/requests in/ {print $1}')
    after=$(cpu)
    awk -v n="$requests" -v t=$((after - before)) -v what="$1" 'BEGIN {printf "%s %d requests, %.3f us each\n", what, n, t / 1000 / n}'
}
round warm >/dev/null
for _ in 1 2 3; do
    round alone
    python3 - "$PORT" "$IDLE" <<'EOF' & IDLERS=$!
import socket, sys, time
keep = []
for _ in range(int(sys.argv[2])):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    s.recv(4096)
    keep.append(s)
time.sleep(600)
EOF
    sleep 6
    round "beside $IDLE idle"
    kill $IDLERS; wait $IDLERS 2>/dev/null || true
    sleep 1
done
