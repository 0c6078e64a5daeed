#!/bin/bash
# The release binary under wapiti (PyPI's wapiti3), a scanner of web applications: the modules that it uses by default
# and those that make sense here, from every address of the service on. Ends non-zero when it finds anything of level
# medium or above that wapiti.py does not allow with a reason, when anything was answered with 5xx, when a module or an
# address was left out, when an attack led the service to an address of wapiti's, or when the service logged an error.
# The last run's lines are kept in wapiti.txt beside this file. Takes two minutes, half of them for installing into a
# temporary directory; needs PyPI and Python with venv.
# Usage: server/tests/outside/wapiti.sh   (CARGO_TARGET_DIR is respected; with BRIGADE_BINARY nothing is built)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.."

# As `cargo xtask` builds it, with the page inside: the form is found there.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}" BRIGADE_REQUIRE_SITE=1
if [ -z "${BRIGADE_BINARY:-}" ]; then cargo build --quiet --release -p server; fi
program="${BRIGADE_BINARY:-$CARGO_TARGET_DIR/release/bucket-brigade}"

work=$(mktemp -d)
server_pid=
end() {
    status=$?
    if [ -n "$server_pid" ]; then
        kill "$server_pid" 2>/dev/null || true
        wait "$server_pid" 2>/dev/null || true
    fi
    rm -rf "$work"
    if [ $status -ne 0 ]; then echo "FAILED"; fi
}
trap end EXIT
say() { printf "$@" | tee -a "$work/summary"; }

echo "installing wapiti"
python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet --disable-pip-version-check wapiti3
wapiti="$work/python/bin/wapiti"

# Nothing of the caller's configuration.
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
env -i "$program" --listen 127.0.0.1:0 --store-listen 127.0.0.1:0 --data-dir "$work/data" 2>"$work/server.log" &
server_pid=$!
for _ in $(seq 100); do
    server=$(sed -n 's/.*"listen":"\([^"]*\)".*/\1/p' "$work/server.log" | head -1)
    # The store is open when it is ready.
    if [ -n "$server" ] && curl -sf "http://$server/readyz" >/dev/null; then break; fi
    sleep 0.1
done

version=$("$work/python/bin/pip" show wapiti3 2>/dev/null | sed -n 's/^Version: //p')
say 'wapiti %s against bucket-brigade on %s\n' "$version" "$(date -u '+%F %H:%M UTC')"
say 'commit: %s; command: server/tests/outside/wapiti.sh\n' "$(git describe --always --dirty --abbrev=12)"
ended=0
"$work/python/bin/python" -B "$here/wapiti.py" "$server" "$work" "$wapiti" 2>&1 | tee -a "$work/summary" || ended=1

left=$(curl -sf "http://$server/metrics" | grep -E '^brigade_(uploads_in_flight|buffer_bytes|uploads_left_open|aborts_failed_total) ')
if grep -qv ' 0$' <<<"$left"; then
    say '  NOT AS EXPECTED: left: %s\n' "$(tr '\n' ' ' <<<"$left")"
    ended=1
fi
kill -TERM "$server_pid"
wait "$server_pid" || { say '  NOT AS EXPECTED: the server ended with %s\n' $?; ended=1; }
server_pid=
say 'uploads by their end: %s\n' \
    "$(grep -o '"upload.code":"[^"]*"' "$work/server.log" | cut -d'"' -f4 | sort | uniq -c | awk '{ printf "%s%s %s", sep, $2, $1; sep = ", " }')"
if grep -Eq '"level":"ERROR"|panicked' "$work/server.log"; then
    say '  NOT AS EXPECTED: logged: %s\n' "$(grep -Em1 '"level":"ERROR"|panicked' "$work/server.log")"
    ended=1
fi
if [ $ended -eq 0 ]; then say 'all passed\n'; else say 'FAILED\n'; fi
cp "$work/summary" "$here/wapiti.txt"
exit $ended
