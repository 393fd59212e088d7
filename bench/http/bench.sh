#!/bin/bash
# bench.sh [-r ROUNDS] [-t SECONDS] [-s "scenario ..."]: perilune's release build against Debian's nginx with the Lua module, all
# scenarios that both have. Prints medians and ratios; the raw figures go to bench/runs/http-DATE.txt.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rounds=3 seconds=3 scenarios="return hello json sleep shdict redis phases echo static1m static1k hello_paced idle"
said="bench/http/bench.sh $*"
while getopts r:t:s: flag; do
    case $flag in
        r) rounds=$OPTARG ;;
        t) seconds=$OPTARG ;;
        s) scenarios=$OPTARG ;;
        *) exit 2 ;;
    esac
done
cd "$here/../.."
cargo build --release --locked -p perilune
export PERILUNE=${PERILUNE:-${CARGO_TARGET_DIR:-$PWD/target}/release/perilune}
date=$(date -u +%Y-%m-%d-%H%M)
raw=$(mktemp)
trap 'rm -f "$raw"' EXIT
"$here/run.sh" -r "$rounds" -t "$seconds" -s "$scenarios" -o "$raw" nginx="$here/wrap-nginx.sh" perilune="$here/wrap-perilune.sh"
{
    echo "# date: $date UTC"
    echo "# machine: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(uname -sr)"
    echo "# commit: $(git describe --always --dirty)"
    echo "# command: $said"
    echo "# versions: $(nginx -v 2>&1), libnginx-mod-http-lua $(dpkg-query -W -f '${Version}' libnginx-mod-http-lua), $(wrk -v 2>&1 | head -1 | cut -d' ' -f1,2)"
    echo "# capacity ratio: nginx's server CPU per request / perilune's, medians (above 1: perilune needs less)"
    echo
    python3 "$here/med.py" "$raw"
    echo
    python3 "$here/med.py" "$raw" | awk -F'\t' '$2 == "nginx" {cpu[$1] = $5} $2 == "perilune" && cpu[$1] {
        if ($10 > 0) printf "%-12s %d errors\n", $1, $10
        else printf "%-12s capacity ratio %.2f\n", $1, cpu[$1] / $5}'
    echo
    echo "# round scenario server req/s cpu_us_per_req p50_us p99_us errors gen_idle"
    cat "$raw"
} > "$here/../runs/http-$date.txt"
sed '/^# round/,$d' "$here/../runs/http-$date.txt"
echo "written to bench/runs/http-$date.txt"
