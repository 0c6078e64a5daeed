#!/bin/bash
# The server as it is shipped, where neither systemd nor Docker runs: under the system call filter and the address families
# of the unit, and with nothing but the files of the image; both as a user without any right. Needs root.
# Usage: server/tests/outside/confined.sh
. "$(dirname "$0")/common.sh"

if ! /usr/bin/python3 -c 'import seccomp' 2>/dev/null; then
    echo "installing python3-seccomp"
    apt-get install -y --no-install-recommends python3-seccomp >/dev/null
fi
if [ -z "${BRIGADE_BINARY:-}" ]; then cargo build --quiet --release -p server; fi
cp -L "${BRIGADE_BINARY:-$CARGO_TARGET_DIR/release/bucket-brigade}" "$work/bucket-brigade"
# The user must get there.
chmod 711 "$work"
unit=$PWD/docs/deploy/bucket-brigade.service
{ printf '%%PDF-1.4\n' && head -c 12000000 /dev/urandom; } >"$work/document"

heading "The unit's filter, then the image's files,"
say 'unit: %s of 10\n' "$(systemd-analyze security --offline=true "$unit" | sed -n 's/.*\(exposure level\) for [^ ]* \([0-9.]*\).*/\1 \2/p')"

# tries NAME: the server that $work/NAME starts takes uploads in one piece and in parts, tells how it is, and stops.
tries() {
    BRIGADE_BINARY=$work/$1
    chmod 755 "$BRIGADE_BINARY"
    start_server
    local user
    user=$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p; s/^CapEff:\t/capabilities /p' "/proc/$server_pid/status" | paste -sd ' ')
    for bytes in 100000 12000000; do
        head -c "$bytes" "$work/document" |
            curl -sSf --max-time 30 -o "$work/answer" -F 'docs_field=@-;filename=a.pdf' "http://$server/upload" ||
            fail "$1: no upload of $bytes bytes"
    done
    curl -sSf --max-time 10 -o "$work/page" "http://$server/" || fail "$1: no page"
    "$work/bucket-brigade" health --ready --listen "$server" >"$work/health" || fail "$1: not ready"
    rests uploads_in_flight buffer_bytes
    stop_server
    say '%-6s uid %s: uploads, page, health, and SIGTERM ends it with 0\n' "$1" "$user"
    rm -rf "$work/data"
}

cat >"$work/unit" <<END
#!/bin/bash
exec /usr/bin/python3 $here/confined.py $unit $work/bucket-brigade "\$@"
END
install -d -o 65532 -g 65532 "$work/data"
tries unit
# The filter does forbid something.
status=0
/usr/bin/python3 "$here/confined.py" "$unit" /usr/sbin/chroot / /bin/true 2>"$work/killed" || status=$?
if [ "$status" -ne 159 ]; then fail "chroot ends with $status instead of SIGSYS"; fi

image=$work/root
mkdir -p "$image/usr/local/bin" "$image/etc/ssl/certs" "$image$work"
cp "$work/bucket-brigade" "$image/usr/local/bin/"
cp -L /etc/ssl/certs/ca-certificates.crt "$image/etc/ssl/certs/"
# The base has glibc and libgcc; what the binary asks for of them.
ldd "$work/bucket-brigade" | grep -o '/[^ ]*' | while read -r library; do
    install -D "$library" "$image$library"
done
install -d -o 65532 -g 65532 "$image$work/data"
cat >"$work/image" <<END
#!/bin/bash
exec /usr/sbin/chroot --userspec=65532:65532 $image /usr/local/bin/bucket-brigade "\$@"
END
tries image
say 'bytes: binary %s, certificates %s, libraries %s\n' "$(stat -c %s "$work/bucket-brigade")" \
    "$(stat -c %s "$image/etc/ssl/certs/ca-certificates.crt")" \
    "$(find "$image" -name "*.so*" -printf "%s\n" | awk "{ sum += \$1 } END { print sum }")"
conclude
