#!/bin/sh
# wrap-perilune.sh PREFIX CONF : the release build, in the foreground. PERILUNE: which one, if not the one of this checkout.
exec "${PERILUNE:-$(dirname "$0")/../../target/release/perilune}" -p "$1/" -c "$2" -g 'daemon off;'
