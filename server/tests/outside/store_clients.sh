#!/bin/bash
# The embedded store with two clients that were not written here: awscli and rclone, from Debian's packages.
# One line a step; ends non-zero at the first failure. Needs root only to install the two packages.
# Usage: server/tests/outside/store_clients.sh
. "$(dirname "$0")/common.sh"

aws=/usr/bin/aws
rclone=/usr/bin/rclone
if [ ! -x "$aws" ] || [ ! -x "$rclone" ]; then
    echo "installing awscli and rclone"
    apt-get install -y --no-install-recommends awscli rclone >/dev/null
fi

cargo build --release -p server --example store 2>&1 | grep -v '^ *Compiling' || true
start_store() {
    # A pipe, so that the address is there when the line is.
    coproc STORE { exec "$CARGO_TARGET_DIR/release/examples/store" "$work/data" 0 2>"$work/store.log"; }
    running[$STORE_PID]=store
    read -r -t 20 endpoint <&"${STORE[0]}"
}
start_store
echo "store at $endpoint"

unset AWS_CA_BUNDLE AWS_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3
export HOME="$work" AWS_ACCESS_KEY_ID=brigade AWS_SECRET_ACCESS_KEY=brigade-secret AWS_DEFAULT_REGION=us-east-1
export AWS_EC2_METADATA_DISABLED=true AWS_PAGER=
export RCLONE_CONFIG="$work/rclone.conf" RCLONE_CONFIG_BB_TYPE=s3 RCLONE_CONFIG_BB_PROVIDER=Other
export RCLONE_CONFIG_BB_ACCESS_KEY_ID=brigade RCLONE_CONFIG_BB_SECRET_ACCESS_KEY=brigade-secret
export RCLONE_CONFIG_BB_ENDPOINT="$endpoint" RCLONE_CONFIG_BB_REGION=us-east-1 RCLONE_CONFIG_BB_FORCE_PATH_STYLE=true
: >"$RCLONE_CONFIG"
s3() { "$aws" --endpoint-url "$endpoint" s3 "$@"; }
api() { "$aws" --endpoint-url "$endpoint" --output text s3api "$@"; }
bb() { "$rclone" --s3-upload-cutoff 5M --s3-chunk-size 5M --retries 1 --low-level-retries 1 "$@"; }
fails() {
    fail "$@"
    exit 1
}
step() { printf '%-8s %s\n' "$1" "$2"; }
# Lines that name an open upload; `None` is how awscli prints nothing.
open_uploads() { api list-multipart-uploads --bucket uploads --query 'Uploads[].UploadId' | grep -vc '^None$' || true; }

head -c 100000 /dev/urandom >"$work/small"
head -c $((64 * 1024 * 1024)) /dev/urandom >"$work/large"

# --- awscli
s3 cp --only-show-errors "$work/small" "s3://uploads/aws/small ä.pdf" --content-type application/pdf --metadata name=pail
step awscli "put"
s3 cp --only-show-errors "s3://uploads/aws/small ä.pdf" "$work/back"
cmp "$work/small" "$work/back"
step awscli "get, byte-equal"
[ "$(api head-object --bucket uploads --key 'aws/small ä.pdf' --query '[ContentType,Metadata.name]')" = "application/pdf	pail" ] || fails "head"
step awscli "head, type and metadata kept"
s3 ls s3://uploads/aws/ | grep -q "100000 small ä.pdf" || fails "ls"
[ "$(api list-objects-v2 --bucket uploads --delimiter / --query 'CommonPrefixes[].Prefix')" = "aws/" ] || fails "prefixes"
step awscli "list, with and without delimiter"
s3 cp --only-show-errors "$work/large" s3://uploads/aws/large
api head-object --bucket uploads --key aws/large --query ETag | grep -q -- '-8"' || fails "not sent in 8 parts"
s3 cp --only-show-errors s3://uploads/aws/large "$work/back"
cmp "$work/large" "$work/back"
step awscli "multipart upload of 64 MiB, byte-equal"
curl -sSf "$(s3 presign s3://uploads/aws/large)" -o "$work/back"
cmp "$work/large" "$work/back"
step awscli "presigned link with curl, byte-equal"
id=$(api create-multipart-upload --bucket uploads --key aws/open --query UploadId)
api upload-part --bucket uploads --key aws/open --upload-id "$id" --part-number 1 --body "$work/small" >/dev/null
[ "$(api list-parts --bucket uploads --key aws/open --upload-id "$id" --query 'Parts[].Size')" = 100000 ] || fails "list-parts"
[ "$(open_uploads)" = 1 ] || fails "list-multipart-uploads"
api abort-multipart-upload --bucket uploads --key aws/open --upload-id "$id"
[ "$(open_uploads)" = 0 ] || fails "still open"
step awscli "abort of a multipart upload, nothing open"
s3 mb s3://second >/dev/null
s3 cp --only-show-errors s3://uploads/aws/large s3://second/copy
s3 rb --force s3://second >/dev/null
step awscli "bucket made, copied into, removed"
s3 rm --only-show-errors --recursive s3://uploads/aws/
[ -z "$(s3 ls s3://uploads/)" ] || fails "not empty"
step awscli "delete"

# --- rclone
mkdir "$work/tree" "$work/tree/deep"
cp "$work/small" "$work/tree/small ä.pdf"
cp "$work/small" "$work/tree/deep/small"
bb copy "$work/tree" bb:uploads/tree
step rclone "put"
bb copy bb:uploads/tree "$work/tree-back"
diff -r "$work/tree" "$work/tree-back"
step rclone "get, byte-equal"
[ "$(bb lsf -R bb:uploads/tree | sort | tr '\n' '|')" = "deep/|deep/small|small ä.pdf|" ] || fails "lsf"
step rclone "list"
bb copyto "$work/large" bb:uploads/large
bb copyto bb:uploads/large "$work/back"
cmp "$work/large" "$work/back"
api head-object --bucket uploads --key large --query ETag | grep -q -- '-13"' || fails "not sent in 13 parts"
step rclone "multipart upload of 64 MiB, byte-equal"
bb check --download "$work/tree" bb:uploads/tree 2>/dev/null
touch "$work/tree/deep/small"
bb copy "$work/tree" bb:uploads/tree
bb check "$work/tree" bb:uploads/tree 2>/dev/null
step rclone "modification time set by a copy onto itself, check passes"
"$rclone" --s3-upload-cutoff 5M --s3-chunk-size 5M --bwlimit 4M copyto "$work/large" bb:uploads/open &
client=$!
for _ in $(seq 100); do
    if [ "$(open_uploads)" = 1 ]; then break; fi
done
kill -9 $client
wait $client 2>/dev/null || true
[ "$(open_uploads)" = 1 ] || fails "nothing left open by the killed client"
bb backend list-multipart-uploads bb:uploads | grep -q '"Key": "open"' || fails "not listed"
bb backend cleanup -o max-age=0s bb:uploads
[ "$(open_uploads)" = 0 ] || fails "still open"
step rclone "abort of a killed client's multipart upload, nothing open"
bb purge bb:uploads/tree
bb deletefile bb:uploads/large
[ -z "$(bb lsf -R bb:uploads)" ] || fails "not empty"
step rclone "delete"

left=$(find "$work/data" -type f ! -name lock | wc -l)
[ "$left" = 0 ] || fails "$left files left in the store"
step store "no file left"
echo "all passed"
