#!/bin/bash
# The release binary under wapiti (PyPI's wapiti3), a scanner of web applications: the modules that it uses by default
# and those that make sense here, from every address of the service on. Ends non-zero when it finds anything of level
# medium or above that wapiti.py does not allow with a reason, when anything was answered with 5xx, when a module or an
# address was left out, when an attack led the service to an address of wapiti's, or when the service logged an error.
# The last run's lines are kept in wapiti.txt beside this file. Takes two minutes, half of them for installing into a
# temporary directory; needs PyPI and Python with venv.
# Usage: server/tests/outside/wapiti.sh
. "$(dirname "$0")/common.sh"

echo "installing wapiti"
pip_install wapiti3
version=$("$python" -m pip show wapiti3 2>/dev/null | sed -n 's/^Version: //p')

start_server
heading "wapiti $version"
"$python" -B "$here/wapiti.py" "$server" "$work" "${python%/*}/wapiti" 2>&1 | tee -a "$work/summary" || fail "see above"
rests uploads_in_flight buffer_bytes uploads_left_open 's3_aborts_total{outcome="failed"}'
stop_server
say 'uploads by their end: %s\n' \
    "$(grep -o '"upload.code":"[^"]*"' "$work/server.log" | cut -d'"' -f4 | sort | uniq -c | awk '{ printf "%s%s %s", sep, $2, $1; sep = ", " }')"
conclude
