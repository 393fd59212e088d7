#!/bin/bash
# pair.sh SECONDS PATH BINARY...: Debian's nginx and every BINARY at once on core 0, each under the same load from core 1: what
# disturbs one disturbs all. Prints the CPU time of a request of each, and nginx's divided by it. Loopback only; needs wrk, and
# for /redis a server on $REDIS (6379) with `bench:key` set.
set -u
secs=$1 path=$2 here=$(cd "$(dirname "$0")" && pwd) port=${PORT:-28500}; shift 2
all=$(mktemp -d); chmod a+rx "$all"; names=() pids=() ports=()
trap 'kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$all"' EXIT
for server in nginx "$@"; do
    port=$((port + 1)) dir=$all/$port; mkdir -p "$dir"/{conf,logs,html,temp,lualib/resty}
    head -c 1024 /dev/zero | tr '\0' x > "$dir/html/1k.txt"
    [ -e /usr/share/lua/5.1/nginx/redis.lua ] && cp /usr/share/lua/5.1/nginx/redis.lua "$dir/lualib/resty/"
    sed -e "s/@PORT@/$port/g;s/@BACKEND@/9/g;s/@REDIS@/${REDIS:-6379}/g;s/@WORKERS@/1/g" \
        -e '/^    upstream backend/,/^    }/d' -e '/# (g) /,/# (h) /{/# (h) /!d}' "$here/bench.conf.in" > "$dir/conf/nginx.conf"
    modules=/usr/lib/nginx/modules
    [ "$server" = nginx ] && sed -i "1i load_module $modules/ndk_http_module.so; load_module $modules/ngx_http_lua_module.so; user root;" "$dir/conf/nginx.conf"
    taskset -c 0 "$server" -p "$dir/" -c "$dir/conf/nginx.conf" -g 'daemon off; master_process off;' 2>/dev/null &
    pids+=($!) names+=("$(basename "$server")") ports+=("$port")
done
sleep 1
script=(); [ "$path" = /echo ] && { echo 'wrk.method="POST"; wrk.body=string.rep("x",1024)' > "$all/echo.lua"; script=(-s "$all/echo.lua"); }
load() {
    local waits=()
    for port in "${ports[@]}"; do
        taskset -c 1 wrk -t1 -c16 -d"$1" "${script[@]}" "http://127.0.0.1:$port$path" > "$all/$port.txt" & waits+=($!)
    done
    wait "${waits[@]}"
}
cpu() { cat /proc/"$1"/task/*/schedstat | awk '{t += $1} END {printf "%.0f\n", t / 1000}'; }
load 1
before=(); for pid in "${pids[@]}"; do before+=("$(cpu "$pid")"); done
load "$secs"
base=
for i in "${!pids[@]}"; do
    after=$(cpu "${pids[$i]}") requests=$(awk '/requests in/ {print $1}' "$all/${ports[$i]}.txt")
    us=$(awk -v t=$((after - before[i])) -v n="$requests" 'BEGIN {printf "%.3f", t / n}'); base=${base:-$us}
    awk -v name="${names[$i]}" -v path="$path" -v us="$us" -v base="$base" -v n="$requests" \
        'BEGIN {printf "%-10s %-10s %8.2f us  %8d requests  ratio %.3f\n", name, path, us, n, base / us}'
    grep -i 'non-2xx' "$all/${ports[$i]}.txt"
done
exit 0
