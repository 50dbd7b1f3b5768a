#!/bin/sh
# Times a whole intake beside `sqlite3 .import` of the same rows. Usage: benches/intake.sh [ROWS]
set -eu
cd "$(dirname "$0")/.."
exec cargo bench --quiet --bench intake -- "${1:-1000000}"
