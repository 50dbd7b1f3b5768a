#!/bin/sh
# Pictures of the status page in every state, light and dark, wide and on a phone, by a real Chromium.
#   tests/page/pictures.sh [DIR] [STATE...]
set -eu
cd "$(dirname "$0")/../.."
out=${1:-target/pictures}
[ $# -gt 0 ] && shift
mkdir -p "$out"
out=$(cd "$out" && pwd)
TILLSYNC_PICTURES="$out" cargo test --quiet --lib -- page:: status:: >/dev/null
chromium=${CHROMIUM:-chromium}
shot() { # page, picture, size, further flags
    profile=$(mktemp -d)
    "$chromium" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync \
        --hide-scrollbars --user-data-dir="$profile" --window-size="$3" \
        --screenshot="$2" $4 "file://$1" >/dev/null 2>&1 || echo "no picture of $1" >&2
    rm -rf "$profile"
}
[ $# -gt 0 ] || set -- $(cd "$out" && ls ./*.html | sed 's|^\./||; s|\.html$||')
for state in "$@"; do
    shot "$out/$state.html" "$out/$state.png" 1100,1500 ""
    shot "$out/$state.html" "$out/$state-dark.png" 1100,1500 "--blink-settings=preferredColorScheme=0 --force-dark-mode"
    shot "$out/$state.html" "$out/$state-phone.png" 500,2200 ""
done
