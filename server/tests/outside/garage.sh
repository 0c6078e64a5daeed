#!/bin/bash
# Garage, an S3 server that is not ours, under `cargo xtask store-check`: one node on loopback, over http and, behind
# HAProxy (Debian's package), over https. Ends non-zero when a case failed; the last run's reports are kept in
# garage-http.md and garage-https.md beside this file. Garage is built from crates.io when GARAGE names no binary.
# Usage: [GARAGE=/path/to/garage] server/tests/outside/garage.sh
. "$(dirname "$0")/common.sh"

version=2.5.0
garage=${GARAGE:-$CARGO_TARGET_DIR/tools/bin/garage}
if [ ! -x "$garage" ]; then
    echo "building garage $version (cargo, ten minutes)"
    cargo install --quiet --locked --version "$version" --root "$CARGO_TARGET_DIR/tools" garage
fi
if [ ! -x /usr/sbin/haproxy ]; then
    echo "installing haproxy"
    apt-get install -y --no-install-recommends haproxy >/dev/null
fi

# Garage and HAProxy take no port 0.
read -r rpc s3 https < <(python3 - <<'PYTHON'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*[s.getsockname()[1] for s in sockets])
PYTHON
)
cat >"$work/garage.toml" <<TOML
metadata_dir = "$work/meta"
data_dir = "$work/garage"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:$rpc"
rpc_public_addr = "127.0.0.1:$rpc"
rpc_secret = "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
[s3_api]
s3_region = "garage"
api_bind_addr = "127.0.0.1:$s3"
TOML
"$garage" -c "$work/garage.toml" server >"$work/garage.log" 2>&1 &
running[$!]=garage
g() { "$garage" -c "$work/garage.toml" "$@" 2>>"$work/garage.log"; }
for _ in $(seq 100); do
    if node=$(g node id -q) && g status >/dev/null; then break; fi
    sleep 0.1
done
g layout assign -z here -c 4G "${node%@*}" >/dev/null
g layout apply --version 1 >/dev/null
keys=$(g key create brigade)
g bucket create uploads >/dev/null
g bucket allow --read --write --owner uploads --key brigade >/dev/null
AWS_ACCESS_KEY_ID=$(sed -n 's/^Key ID: *//p' <<<"$keys")
AWS_SECRET_ACCESS_KEY=$(sed -n 's/^Secret key: *//p' <<<"$keys")
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION=garage BRIGADE_BUCKET=uploads

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
    -addext basicConstraints=critical,CA:FALSE -keyout "$work/key" -out "$work/cert" 2>/dev/null
cat "$work/cert" "$work/key" >"$work/pem"
cat >"$work/haproxy.cfg" <<CFG
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend https
    bind 127.0.0.1:$https ssl crt $work/pem
    default_backend garage
backend garage
    server garage 127.0.0.1:$s3
CFG
/usr/sbin/haproxy -db -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1 &
running[$!]=haproxy

heading "$("$garage" --version | head -1)"
AWS_ENDPOINT_URL=http://127.0.0.1:$s3 cargo xtask store-check --report "$here/garage-http.md" || fail "over http"
AWS_ENDPOINT_URL=https://127.0.0.1:$https SSL_CERT_FILE="$work/cert" \
    cargo xtask store-check --report "$here/garage-https.md" || fail "over https"
left=$(g bucket info uploads | sed -n 's/^Objects: *//p')
if [ "$left" != 0 ]; then fail "$left objects left"; fi
say 'at the end   %s objects in the bucket\n' "$left"
conclude
