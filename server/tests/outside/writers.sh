#!/bin/bash
# Other people's multipart writers against the release binary: Python's requests, requests-toolbelt, aiohttp and httpx,
# Node's fetch, npm's undici, form-data, axios, got and node-fetch, and curl; with Content-Length and chunked, sizes
# declared and not. What is stored is read back by the answer's link and must be what was sent. One line a writer; ends
# non-zero when one form was not stored byte by byte. The last run's lines are kept in writers.txt beside this file.
# Needs PyPI, the npm registry, Python with venv, Node and curl; installs into a temporary directory only. wget is left
# out: it sends files, and writes no forms. Chromium is in the browser tests.
# Usage: server/tests/outside/writers.sh   (CARGO_TARGET_DIR is respected; with BRIGADE_BINARY nothing is built)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.."

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
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

echo "installing the writers"
python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet --disable-pip-version-check requests requests-toolbelt aiohttp httpx
mkdir "$work/node"
# The newest undici and got want a newer Node than 20.
npm install --silent --no-save --prefix "$work/node" undici@7 form-data axios got@14 node-fetch >/dev/null

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

say "other people's multipart writers against bucket-brigade on %s\n" "$(date -u '+%F %H:%M UTC')"
say 'commit: %s; command: server/tests/outside/writers.sh\n' "$(git describe --always --dirty --abbrev=12)"
ended=0
"$work/python/bin/python" -B "$here/writers.py" "$server" "$work" 2>&1 | tee -a "$work/summary" || ended=1

left=$(curl -sf "http://$server/metrics" | grep -E '^brigade_(uploads_in_flight|buffer_bytes|uploads_left_open) ' | tr '\n' ' ')
if [ "$left" != "brigade_uploads_in_flight 0 brigade_buffer_bytes 0 brigade_uploads_left_open 0 " ]; then
    say '  NOT AS EXPECTED: left: %s\n' "$left"
    ended=1
fi
kill -TERM "$server_pid"
wait "$server_pid" || { say '  NOT AS EXPECTED: the server ended with %s\n' $?; ended=1; }
server_pid=
if grep -q panicked "$work/server.log"; then say '  NOT AS EXPECTED: a panic: %s\n' "$(grep -m1 panicked "$work/server.log")"; ended=1; fi
if [ $ended -eq 0 ]; then say 'all passed\n'; else say 'FAILED\n'; fi
cp "$work/summary" "$here/writers.txt"
exit $ended
