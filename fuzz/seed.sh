#!/bin/sh
# Makes a first corpus of the samples: each file once for each kind (the first byte of an input).
set -eu
cd "$(dirname "$0")/.."
mkdir -p fuzz/corpus/reading
find tests/samples -type f \( -name '*.csv' -o -name '*.txt' -o -name '*.gz' -o -name '*.zip' \) -size -64k |
while read -r file; do
  name=$(echo "$file" | tr '/ ' '__')
  for kind in 0 1 2 3; do
    { printf "\\00$kind"; cat "$file"; } > "fuzz/corpus/reading/$kind-$name"
  done
done
