# What the scripts beside this one begin with: the server built and started, ended by its id, what was said kept.
# Sourced by them. CARGO_TARGET_DIR is respected; with BRIGADE_BINARY nothing is built.
# shellcheck shell=bash
set -euo pipefail
command="${BRIGADE_BINARY:+BRIGADE_BINARY=$BRIGADE_BINARY }server/tests/outside/${0##*/}${*:+ $*}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../../.."
# As `cargo xtask` builds it, with the page inside.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}" BRIGADE_REQUIRE_SITE=1
# Nothing of the caller's configuration.
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1

work=$(mktemp -d)
failed=
# By process id, what has to be ended when the script ends.
declare -A running=()
end() {
    local status=$? pid
    for pid in "${!running[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
    if [ "$status" -ne 0 ] && [ -z "$failed" ]; then echo "FAILED"; fi
}
trap end EXIT

# say FORMAT [ARGUMENT...]: as printf, and kept.
say() {
    # shellcheck disable=SC2059
    printf "$@" | tee -a "$work/summary"
}
fail() {
    failed=yes
    say '  NOT AS EXPECTED: %s\n' "$*"
}

# heading WHAT: what is run against which server, and when.
heading() {
    say '%s against bucket-brigade on %s\n' "$1" "$(date -u '+%F %H:%M UTC')"
    say 'machine: %s, %d cores, Linux %s; load before: %s\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" "$(nproc)" "$(uname -r)" "$(cut -d' ' -f1 /proc/loadavg)"
    say 'commit: %s; command: %s\n' "$(git describe --always --dirty --abbrev=12)" "$command"
}

# The last word: keeps what was said beside the script.
conclude() {
    if [ -n "$failed" ]; then say 'FAILED\n'; else say 'all passed\n'; fi
    cp "$work/summary" "$here/$(basename "$0" .sh).txt"
    [ -z "$failed" ]
}

# pip_install PACKAGE...: into a Python of this script's own, which is $python then.
pip_install() {
    python3 -m venv "$work/python"
    "$work/python/bin/pip" install --quiet --disable-pip-version-check "$@"
    python="$work/python/bin/python"
}

# Starts the server: $server is its host and port then, $server_pid its process.
start_server() {
    local program=${BRIGADE_BINARY:-$CARGO_TARGET_DIR/release/bucket-brigade}
    if [ -z "${BRIGADE_BINARY:-}" ]; then cargo build --quiet --release -p server; fi
    : >"$work/server.log"
    env -i "$program" --listen 127.0.0.1:0 --store-listen 127.0.0.1:0 --data-dir "$work/data" 2>"$work/server.log" &
    server_pid=$!
    running[$server_pid]=server
    for _ in $(seq 200); do
        server=$(sed -n '/.*"listen":"\([^"]*\)".*/ { s//\1/p; q }' "$work/server.log")
        # The store is open when it is ready.
        if [ -n "$server" ] && curl -sf -o "$work/ready" "http://$server/readyz"; then return; fi
        sleep 0.1
    done
    cat "$work/server.log"
    fail "the server is not ready"
    return 1
}

# Stops it as an operator does, and looks through its log.
stop_server() {
    local status=0
    kill -TERM "$server_pid"
    wait "$server_pid" || status=$?
    unset "running[$server_pid]"
    if [ "$status" -ne 0 ]; then fail "the server ended with $status"; fi
    if grep -Eq '"level":"ERROR"|panicked' "$work/server.log"; then
        fail "logged: $(grep -Em1 '"level":"ERROR"|panicked' "$work/server.log")"
    fi
}

# gauge NAME: its value in /metrics.
gauge() { curl -sSf --max-time 10 "http://$server/metrics" | sed -n "s/^brigade_$1 //p"; }

# rests NAME...: waits up to ten seconds until only the connection that asks is left, and these gauges say 0.
rests() {
    local wanted="connections 1" name
    for name in "$@"; do wanted+=", $name 0"; done
    for _ in $(seq 50); do
        left="connections $(gauge connections)"
        for name in "$@"; do left+=", $name $(gauge "$name")"; done
        if [ "$left" = "$wanted" ]; then return; fi
        sleep 0.2
    done
    fail "left: $left"
}
