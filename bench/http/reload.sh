#!/bin/sh
# reload.sh BINARY [SECONDS] : a HUP every second under keep-alive load. Prints failed requests, the server's memory after the
# fifth reload and after the last one, and how many processes are left. Needs wrk; the server listens on $PORT (28700).
set -eu
BIN=$1; SECONDS_=${2-120}; PORT=${PORT-28700}
DIR=$(mktemp -d); mkdir -p "$DIR/conf" "$DIR/logs"
trap 'kill "$SERVER" 2>/dev/null; rm -rf "$DIR"' EXIT
cat > "$DIR/conf/nginx.conf" <<CONF
worker_processes 2;
pid logs/nginx.pid;
error_log logs/error.log warn;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000000;
    lua_shared_dict counters 1m;
    server {
        listen 127.0.0.1:$PORT;
        location / { content_by_lua_block { ngx.shared.counters:incr("n", 1, 0) ngx.say("hello") } }
    }
}
CONF
chmod -R a+rwX "$DIR"
"$BIN" -p "$DIR/" -c conf/nginx.conf -g 'daemon off;' & SERVER=$!
sleep 1
family() { echo "$SERVER"; pgrep -P "$SERVER" || true; }
# Proportional memory of the server's processes, in kB.
memory() { for pid in $(family); do awk '/^Pss:/ {print $2}' "/proc/$pid/smaps_rollup" 2>/dev/null; done | awk '{s += $1} END {print s}'; }
wrk -t1 -c64 -d"$((SECONDS_ + 2))" "http://127.0.0.1:$PORT/" > "$DIR/wrk.txt" & WRK=$!
n=0; early=0
while [ $n -lt "$SECONDS_" ]; do
    sleep 1; kill -HUP "$SERVER"; n=$((n + 1))
    if [ $n = 5 ]; then sleep 0.9; early=$(memory); fi
done
wait $WRK
sleep 1
late=$(memory)
grep -E 'requests in|Socket errors|Non-2xx' "$DIR/wrk.txt" || true
echo "reloads $n, memory after the fifth $early kB, after the last $late kB, processes $(family | wc -l)"
grep -c . "$DIR/logs/error.log" || true
