#!/bin/bash
# Other people's multipart writers against the release binary: Python's requests, requests-toolbelt, aiohttp and httpx,
# Node's fetch, npm's undici, form-data, axios, got and node-fetch, and curl; with Content-Length and chunked, sizes
# declared and not. What is stored is read back by the answer's link and must be what was sent. One line a writer; ends
# non-zero when one form was not stored byte by byte. The last run's lines are kept in writers.txt beside this file.
# Needs PyPI, the npm registry, Python with venv, Node and curl; installs into a temporary directory only. wget is left
# out: it sends files, and writes no forms. Chromium is in the browser tests.
# Usage: server/tests/outside/writers.sh
. "$(dirname "$0")/common.sh"

echo "installing the writers"
pip_install requests requests-toolbelt aiohttp httpx
mkdir "$work/node"
# The newest undici and got want a newer Node than 20.
npm install --silent --no-save --prefix "$work/node" undici@7 form-data axios got@14 node-fetch >/dev/null

start_server
heading "other people's multipart writers"
"$python" -B "$here/writers.py" "$server" "$work" 2>&1 | tee -a "$work/summary" || fail "see above"
rests uploads_in_flight buffer_bytes uploads_left_open
stop_server
conclude
