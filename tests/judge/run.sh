#!/bin/sh
# Judges the stand-in: the official SDK's calls, directly and through a validating proxy that checks
# its answers, too.
#   ./run.sh [COMMAND...]     what starts the stand-in and prints `listening on URL …`;
#                             default: `tillsync standin`, built by cargo
# Exit status: 0 all expectations met, 1 not.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- cargo run --quiet --release --manifest-path "$here/../../Cargo.toml" -- standin
work=$(mktemp -d)
standin='' prism=''
trap 'kill $standin $prism 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# the packages of the lock, unless they are there already
[ -e "$here/node_modules/.package-lock.json" ] && [ ! "$here/package-lock.json" -nt "$here/node_modules/.package-lock.json" ] \
  || (cd "$here" && npm ci --no-progress)

# until $1 says $2, or 120 s
await() {
  tries=0
  until grep -q "$2" "$1"; do
    tries=$((tries + 1)); [ $tries -lt 1200 ] || { echo "no \`$2\` in:"; cat "$1"; exit 1; }
    sleep 0.1
  done
}

"$@" > "$work/standin" & standin=$!
await "$work/standin" '^listening on '
direct=$(sed -n 's/^listening on \([^ ]*\).*/\1/p' "$work/standin")
node "$here/sdk-calls.mjs" "$direct"

port=$(node -e 'const s = require("node:net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
"$here/prism.sh" "$port" "$direct" strict > "$work/prism" & prism=$!
await "$work/prism" 'Prism is listening'
# Prism compiles a schema when it first meets it, and those of exports take it longer than the SDK
# waits: they are met before.
node --input-type=module - "http://127.0.0.1:$port/v1/exports" <<'JS'
const url = process.argv[2], headers = { 'X-App-Id': 'app-id', 'X-App-Token': 'app-token', 'content-type': 'application/json' };
const { id } = await (await fetch(url, { method: 'POST', headers, body: '{"exported_object":"customer"}' })).json();
await fetch(`${url}/${id}`, { headers });
await fetch(url, { headers });
JS
node "$here/sdk-calls.mjs" "http://127.0.0.1:$port" --prism
# what Prism objects to without telling the client, but for the one call without credentials
if grep 'Request terminated with error' "$work/prism" | grep -v '#UNAUTHORIZED'; then exit 1; fi
