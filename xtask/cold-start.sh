#!/bin/sh
# What a newcomer waits for: both commands of the README on a clean HOME with empty caches, in a fresh clone of
# HEAD, then both once more. Prints a table; the logs stay in the folder that it names.
#
#   xtask/cold-start.sh [serve|test ...]      both without an argument
#
# The Rust toolchain is copied without its wasm32 library. Debian's packages (Chromium) stay as they are.
# Needs curl, git and the ports 3000 and 3900.
set -eu

repository=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d /tmp/cold-start.XXXXXX)
page=http://127.0.0.1:3000/
steps=${*:-serve test}
server=

stop() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        server=
    fi
}
trap stop EXIT
trap 'exit 130' INT TERM

fail() {
    echo "cold-start: $1" >&2
    exit 1
}

clean_home() {
    sysroot=$(rustc --print sysroot)
    toolchain=$(basename "$sysroot")
    rustup=$(command -v rustup) || fail "needs rustup"
    mkdir -p "$place/home/.cargo/bin" "$place/home/.rustup/toolchains"
    cp -a "$sysroot" "$place/home/.rustup/toolchains/"
    cp -L "$rustup" "$place/home/.cargo/bin/rustup"
    for name in cargo cargo-clippy cargo-fmt clippy-driver rustc rustdoc rustfmt; do
        ln -s rustup "$place/home/.cargo/bin/$name"
    done
    export HOME="$place/home" CARGO_HOME="$place/home/.cargo" RUSTUP_HOME="$place/home/.rustup"
    export PATH="$CARGO_HOME/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    unset CARGO_TARGET_DIR XDG_CACHE_HOME XDG_CONFIG_HOME RUSTUP_TOOLCHAIN
    rustup -q default "$toolchain" >>"$place/set-up.log" 2>&1
    rustup -q target remove wasm32-unknown-unknown >>"$place/set-up.log" 2>&1 || true
}

# Until the page answers 200; the server goes on running.
serve() {
    started=$(date +%s)
    "$@" >"$place/$log.log" 2>&1 &
    server=$!
    until curl -sf -o "$place/page.html" "$page"; do
        kill -0 "$server" 2>/dev/null || { tail -n 20 "$place/$log.log" >&2; fail "$* ended, see $place/$log.log"; }
        sleep 0.2
    done
    took=$(($(date +%s) - started))
}

# Everything that the page names must be there.
fetch_assets() {
    names=$(grep -oE '/(pkg/[A-Za-z0-9._-]+|favicon\.svg)' "$place/page.html" | sort -u)
    for kind in css js wasm; do
        echo "$names" | grep -q "\.$kind\$" || fail "the page names no .$kind"
    done
    for name in $names; do
        curl -sf -o /dev/null "${page%/}$name" || fail "no $name"
    done
}

run_serve() {
    log=serve-$1
    cd "$place/clone"
    serve cargo xtask serve
    fetch_assets
    stop
}

run_test() {
    cd "$place/clone"
    started=$(date +%s)
    cargo xtask test >"$place/test-$1.log" 2>&1 || { tail -n 40 "$place/test-$1.log" >&2; fail "see $place/test-$1.log"; }
    took=$(($(date +%s) - started))
}

# The binary without anything around it.
run_alone() {
    log=alone
    mkdir "$place/empty"
    cp -L "$place/clone/target/release/bucket-brigade" "$place/empty/"
    cd "$place/empty"
    serve ./bucket-brigade
    fetch_assets
    stop
}

if curl -s -o /dev/null "$page"; then fail "something else answers on $page"; fi
echo "logs in $place; $(nproc) cores, $(rustc --version)"
git clone -q "$repository" "$place/clone"
clean_home

table=
for step in $steps; do
    "run_$step" cold
    cold=$took
    "run_$step" warm
    table="$table$(printf '%-18s %6s s %6s s' "cargo xtask $step" "$cold" "$took")
"
    if [ "$step" = serve ]; then run_alone; echo "the binary alone serves the whole page"; fi
done
grep -h -A4 '^page weight' "$place"/*-cold.log | head -n 5
grep -hE '^[0-9]+ passed, ' "$place"/test-cold.log 2>/dev/null || true
printf '\n%-18s %8s %8s\n%s' "" cold warm "$table"
