#!/bin/sh
# Judges the unit as systemd does: no fault found, and closed tight (an exposure of at most 1.5 of 10).
#   packaging/check-unit.sh [TILLSYNC]     default: target/release/tillsync
# Needs systemd-analyze; ends with 77 where there is none.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=$(readlink -f "${1:-$here/../target/release/tillsync}") || { echo "no such program: ${1:-}" >&2; exit 1; }
cd "$here"
command -v systemd-analyze >/dev/null || { echo "no systemd-analyze here" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# It looks for the program itself, which need not be installed here.
sed "s|^ExecStart=/usr/bin/tillsync |ExecStart=$program |" tillsync.service >"$work/tillsync.service"
said=$(systemd-analyze verify --man=no "$work/tillsync.service" 2>&1) || { echo "$said" >&2; exit 1; }
[ -z "$said" ] || { echo "$said" >&2; exit 1; }
echo "ok: systemd finds no fault in the unit"
said=$(systemd-analyze security --offline=true --threshold=15 "$work/tillsync.service" 2>&1) || { echo "$said" >&2; exit 1; }
echo "ok: $(echo "$said" | tail -n 1 | sed 's/[^ -~]*//g; s/^ *//')"
