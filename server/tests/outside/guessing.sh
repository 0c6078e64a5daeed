#!/bin/bash
# Whether the time of an answer tells a guesser anything: 10,000 requests of each kind for GET /uploads/{id} at the
# release binary, in turn on one connection, from the session of another browser. Ends non-zero when a kind was answered
# otherwise than it must be, or when the median of one that is answered 404 differs from an unknown id's by more than
# 20 %. The last run's lines are kept in guessing.txt beside this file. Takes half a minute; needs Python.
# Usage: server/tests/outside/guessing.sh [REQUESTS]   (of each kind, 10000 unless given)
. "$(dirname "$0")/common.sh"

start_server
heading "guessing.py"
python3 -B "$here/guessing.py" "$server" "${1:-10000}" 2>&1 | tee -a "$work/summary" || fail "see above"
rests uploads_in_flight
stop_server
conclude
