#!/bin/sh
# Builds the Debian package: packaging/build-deb.sh [DIR]   (default: target/debian)
# Needs cargo-deb (cargo install cargo-deb). PROFILE=dev packages an unoptimised build, for trying.
set -eu
cd "$(dirname "$0")/.."
out=${1:-target/debian}
profile=${PROFILE:-release}
[ "$profile" = dev ] && built=target/debug || built=target/$profile
cargo build --locked --profile "$profile" --bin tillsync
made=target/packaging
mkdir -p "$made" "$out"
"$built/tillsync" man | gzip -9n >"$made/tillsync.1.gz"
"$built/tillsync" completions bash >"$made/tillsync.bash"
"$built/tillsync" completions zsh >"$made/_tillsync"
"$built/tillsync" completions fish >"$made/tillsync.fish"
cargo deb --locked --no-build --profile "$profile" --output "$out/" ${VERSION:+--deb-version "$VERSION"}
