#!/bin/bash
# The embedded store and moto's server under `cargo xtask store-check`, as an operator runs it on any store. Ends non-zero
# when a case failed; the last run's reports are kept in embedded.md and moto.md beside this file. moto is the one that
# `cargo xtask test` has installed.
# Usage: server/tests/outside/own_stores.sh
. "$(dirname "$0")/common.sh"

export AWS_REGION=us-east-1 BRIGADE_BUCKET=uploads
heading "the embedded store and moto $("$CARGO_TARGET_DIR/tools/moto/bin/pip" show moto 2>/dev/null | sed -n 's/^Version: //p')"

start_server
AWS_ACCESS_KEY_ID=$(cat "$work/data/store-access-key")
AWS_SECRET_ACCESS_KEY=$(cat "$work/data/store-secret-key")
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
store=$(sed -n '/.*"store.listen":"\([^"]*\)".*/ { s//\1/p; q }' "$work/server.log")
AWS_ENDPOINT_URL=http://$store cargo xtask store-check --report "$here/embedded.md" || fail "the embedded store"
left=$(find "$work/data/store/buckets/uploads/objects" -type f | wc -l)
if [ "$left" != 0 ]; then fail "$left objects left in the embedded store"; fi
stop_server

# A pipe, so that the port is there when the line is; moto ends with its standard input.
coproc MOTO { exec "$CARGO_TARGET_DIR/tools/moto/bin/python" -B server/tests/stores/run_moto.py 2>"$work/moto.log"; }
running[$MOTO_PID]=moto
read -r -t 60 port <&"${MOTO[0]}"
curl -sSf -X PUT "http://127.0.0.1:$port/uploads"
AWS_ENDPOINT_URL=http://127.0.0.1:$port cargo xtask store-check --report "$here/moto.md" || fail "moto"
conclude
