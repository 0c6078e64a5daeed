#!/bin/bash
# The release binary under slowhttptest (Debian's package): slow headers, slow bodies, slow readers, 1,000 at once,
# while normal uploads go on. One line a phase; ends non-zero when one upload was not stored in time, the service was
# not available throughout, or something is left. The last run's lines are kept in slowhttptest.txt beside this file.
# Needs root only to install the package.
# Usage: server/tests/outside/slowhttptest.sh [SECONDS]   (of each phase, 60 unless given)
. "$(dirname "$0")/common.sh"

seconds=${1:-60}
crowd=1000
# How long one normal upload may take.
bound=10
# From one normal upload to the next.
pace=0.5

slow=/usr/bin/slowhttptest
if [ ! -x "$slow" ]; then
    echo "installing slowhttptest"
    apt-get install -y --no-install-recommends slowhttptest >/dev/null
fi

memory() { sed -n "s/^$1:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$server_pid/status"; }
mib() { echo $((($1 + 512) / 1024)); }

{ printf '%%PDF-1.7\n' && head -c 1048576 /dev/urandom; } >"$work/a.pdf"
{ printf '\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0' && head -c 102400 /dev/urandom; } >"$work/b.jpg"
pdf_size=$(stat -c %s "$work/a.pdf")
jpg_size=$(stat -c %s "$work/b.jpg")

# Appends status and seconds to the file "uploads"; a status of 200 without two stored files becomes 000.
upload() {
    local said
    said=$(curl -s --max-time "$bound" -o "$work/answer" -w '%{http_code} %{time_total}' \
        -H "X-Docs-Filesize: $pdf_size" -H "X-Image-Filesize: $jpg_size" \
        -F "docs_field=@$work/a.pdf" -F "msa_imgs=@$work/b.jpg" "http://$server/upload") || said="000 ${said#* }"
    if [ "$(grep -o '"outcome":"stored"' "$work/answer" | wc -l)" != 2 ]; then said="000 ${said#* }"; fi
    rm -f "$work/answer"
    echo "$said" >>"$work/uploads"
}

# phase NAME OPTIONS...: attacks again and again until the time is over, since a server that cuts everyone ends one.
phase() {
    local name=$1 began=$SECONDS round=0 closed=0 open most before report attack_pid
    shift
    : >"$work/uploads"
    before=$(memory VmRSS)
    # The peak begins anew.
    echo 5 >"/proc/$server_pid/clear_refs"
    while [ $((SECONDS - began)) -lt "$seconds" ]; do
        round=$((round + 1)) open=0 most=0
        report="$work/$name-$round"
        "$slow" "$@" -c "$crowd" -r 500 -l $((seconds - SECONDS + began)) -p 5 -g -o "$report" >"$report.log" 2>&1 &
        attack_pid=$!
        running[$attack_pid]=attack
        while kill -0 "$attack_pid" 2>/dev/null; do
            upload
            # Without the connection that asks. The server counts: slowhttptest does not see a slow reader's end.
            open=$(($(gauge connections) - 1))
            if [ "$open" -gt "$most" ]; then most=$open; fi
            sleep "$pace"
        done
        wait "$attack_pid" || fail "$name: slowhttptest ended with $?"
        unset "running[$attack_pid]"
        if grep -q "No open connections left" "$report.log"; then open=0; fi
        closed=$((closed + most - open))
    done
    judge "$name" "$round" "$closed" "$before"
}

judge() {
    local name=$1 round=$2 closed=$3 before=$4 all bad slowest most available
    all=$(wc -l <"$work/uploads")
    bad=$(grep -vc '^200 ' "$work/uploads" || true)
    slowest=$(sort -k2 -n "$work/uploads" | tail -1 | cut -d' ' -f2)
    # Columns of slowhttptest's table: seconds, closed, pending, connected, available (0 when it is not).
    most=$(cat "$work/$name"-*.csv | awk -F, '$4 + 0 > most { most = $4 } END { print most + 0 }')
    available=$(cat "$work/$name"-*.csv | awk -F, '/^[0-9]/ && $5 == 0 { no = 1 } END { print no ? "NO" : "YES" }')
    say '%-12s %3d normal uploads, %d failed, slowest %.2f s; %d attacks of %d, %d connected at once, %d closed by the server; service available %s; RSS %d MiB before, %d peak, %d after\n' \
        "$name" "$all" "$bad" "$slowest" "$round" "$crowd" "$most" "$closed" "$available" \
        "$(mib "$before")" "$(mib "$(memory VmHWM)")" "$(mib "$(memory VmRSS)")"
    if [ "$bad" != 0 ]; then fail "$name: $bad uploads failed: $(grep -v '^200 ' "$work/uploads" | tr '\n' ';')"; fi
    if [ "$all" -lt $((seconds / 4)) ]; then fail "$name: only $all uploads were tried"; fi
    if [ "$available" != YES ]; then fail "$name: the service was not available throughout"; fi
    if [ "$most" -lt $((crowd * 8 / 10)) ]; then fail "$name: only $most were connected at once"; fi
    if [ "$closed" = 0 ]; then fail "$name: the server closed none"; fi
    stored=$((stored + 2 * (all - bad)))
}

start_server
heading "slowhttptest $(dpkg-query -W -f '${Version}' slowhttptest)"

stored=0
page=$(curl -sSf --max-time "$bound" "http://$server/")
asset=$(grep -o '/pkg/[^"]*\.wasm' <<<"$page" | head -1)
phase slow-headers -H -i 5 -x 24 -u "http://$server/"
phase slow-body -B -i 5 -x 10 -s 8192 -t POST -f 'multipart/form-data; boundary=slow' -u "http://$server/upload"
# A window of some bytes, an answer far larger than any socket's buffer.
phase slow-read -X -k 10 -w 10 -y 20 -n 5 -z 32 -u "http://$server$asset"

rests progress_clients uploads_in_flight buffer_bytes buffer_waiting parts_in_flight
found=$(find "$work/data/store/buckets/uploads/objects" -type f | wc -l)
if [ "$found" != "$stored" ]; then fail "$found objects in the store, $stored were answered as stored"; fi
say 'at the end   %d objects in the store; %s\n' "$found" "$left"
stop_server
conclude
