#!/bin/bash
# The release binary under schemathesis (PyPI): requests made up from /openapi.json, right ones and wrong ones, alone and
# one after the other, and every answer held to it, with all of its checks; schemathesis.toml says where it expects too
# little of this service, and why. The document is validated as OpenAPI 3.1 before. Ends non-zero when anything is not as
# described, when anything is left, or when the service logged an error. The last run's summary is kept in
# schemathesis.txt beside this file. Takes two minutes; needs PyPI and Python with venv, and installs into a temporary
# directory only.
# Usage: server/tests/outside/schemathesis.sh [SEED]
. "$(dirname "$0")/common.sh"

echo "installing schemathesis"
pip_install schemathesis openapi-spec-validator
version=$("$python" -m pip show schemathesis 2>/dev/null | sed -n 's/^Version: //p')

start_server
heading "schemathesis $version"
curl -sSf "http://$server/openapi.json" >"$work/openapi.json"
"${python%/*}/openapi-spec-validator" --schema 3.1 "$work/openapi.json" >"$work/validity" || fail "$(cat "$work/validity")"
say 'openapi-spec-validator: %s\n' "$(sed 's/.*: //' "$work/validity")"
# In the temporary directory, since it leaves files where it runs.
(cd "$work" && NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1 SCHEMATHESIS_HOOKS="$here/schemathesis_hooks.py" \
    "${python%/*}/schemathesis" --config-file "$here/schemathesis.toml" run "$work/openapi.json" \
    --url "http://$server" ${1:+--seed "$1"}) 2>&1 | tee "$work/report" || fail "see above"
sed -n '/=== SUMMARY ===/,$p' "$work/report" | grep -v '^$' >>"$work/summary"
rests uploads_in_flight buffer_bytes uploads_left_open progress_clients 's3_aborts_total{outcome="failed"}'
stop_server
say 'uploads by their end: %s\n' \
    "$(grep -o '"upload.code":"[^"]*"' "$work/server.log" | cut -d'"' -f4 | sort | uniq -c | awk '{ printf "%s%s %s", sep, $2, $1; sep = ", " }')"
conclude
